package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/storage/capture"
)

// past is a Worker whose objects keep a list and can be put back.
const past = `import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  #born = "?";
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS lines (text TEXT)");
    this.#born = this.lines();
    ctx.blockConcurrencyWhile(async () => { await scheduler.wait(1); this.kept = await ctx.storage.get("kept") ?? null });
  }
  lines() { return this.sql.exec("SELECT text FROM lines ORDER BY rowid").toArray().map((r) => r.text).join(",") }
  look() { return { lines: this.lines(), born: this.#born, kept: this.kept } }
  async add(text) { this.sql.exec("INSERT INTO lines VALUES (?)", text); await this.ctx.storage.put("kept", text); return this.look() }
  current() { return this.ctx.storage.getCurrentBookmark() }
  at(ms) { return this.ctx.storage.getBookmarkForTime(ms) }
  next(bookmark) { return this.ctx.storage.onNextSessionRestoreBookmark(bookmark) }
  async clear() { await this.ctx.storage.deleteAll(); return null }
  set(ms) { return this.ctx.storage.setAlarm(ms) }
  when() { return this.ctx.storage.getAlarm() }
  unset() { return this.ctx.storage.deleteAlarm() }
  alarm() { this.sql.exec("INSERT INTO lines VALUES ('rang')") }
  abort() { this.ctx.abort("again") }
  fetch() { return Response.json(this.look()) }
}
export default { async fetch(request, env) {
  const url = new URL(request.url), [, name, method, ...args] = url.pathname.split("/").map(decodeURIComponent);
  const stub = env.ROOMS.getByName(name);
  if (method === "") return stub.fetch(request);
  try {
    return Response.json(await stub[method](...args.map((x) => /^[0-9]+$/.test(x) ? Number(x) : x)));
  } catch (e) { return Response.json(e.name + ": " + e.message) }
} }`

func pastVersion(b *bench) *config.Version {
	v := b.version("past", past, bound(b.t, "ROOMS", "durable_object_namespace", map[string]string{"class_name": "Room"}))
	v.Classes = []config.Class{{Name: "Room", SQLite: true, Key: "past-Room"}}
	return v
}

// get asks and gives the answer, which must be one.
func (b *bench) get(path string) string {
	b.t.Helper()
	status, body, err := b.ask(path)
	if err != nil || status != 200 {
		b.t.Fatalf("GET %s: %d %q %v", path, status, body, err)
	}
	return body
}

// bookmark gives the bookmark that a call returns.
func (b *bench) bookmark(path string) string {
	b.t.Helper()
	text := strings.Trim(b.get(path), `"`)
	if !bookmarkPattern.MatchString(text) {
		b.t.Fatalf("GET %s: %q is no bookmark", path, text)
	}
	return text
}

// killCell ends the Worker's cell as a crash would.
func (b *bench) killCell(worker string) {
	b.t.Helper()
	c, ok := b.cellOf(worker)
	if !ok || syscall.Kill(c.PID, syscall.SIGKILL) != nil {
		b.t.Fatal("there is no cell to kill")
	}
	poll.Until(b.t, "the cell is gone", func() bool { now, ok := b.cellOf(worker); return !ok || now.PID != c.PID })
	poll.Until(b.t, "another one runs", func() bool { status, _, _ := b.ask("/" + worker + "/nobody/when"); return status == 200 })
}

// The ways in which a session ends, each of which makes a restore happen.
var sessionEnds = map[string]func(*bench){
	"abort":    func(b *bench) { b.want("/past/a/abort", `"Error: again"`) },
	"cell":     func(b *bench) { b.killCell("past") },
	"deploy":   func(b *bench) { b.deploy(pastVersion(b)) },
	"two ends": func(b *bench) { b.want("/past/a/abort", `"Error: again"`); b.killCell("past") },
}

// An object is what it was, before its constructor runs, and what it was until then
// can be had back.
func TestRecovery(t *testing.T) {
	for name, end := range sessionEnds {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.deploy(pastVersion(b))
			b.want("/past/a/add/one", `{"lines":"one","born":"","kept":null}`)
			first := b.bookmark("/past/a/current")
			b.get("/past/a/add/two")
			if second := b.bookmark("/past/a/current"); first >= second {
				t.Errorf("%s, then %s", first, second)
			}
			b.get("/past/other/add/else")
			undo := b.bookmark("/past/a/next/" + first)
			b.get("/past/a/add/three")
			end(b)
			b.want("/past/a/look", `{"lines":"one","born":"one","kept":"one"}`)
			b.want("/past/a/add/four", `{"lines":"one,four","born":"one","kept":"one"}`)
			b.want("/past/a/", `{"lines":"one,four","born":"one","kept":"one"}`)
			b.want("/past/a/abort", `"Error: again"`)
			b.want("/past/a/", `{"lines":"one,four","born":"one,four","kept":"four"}`)

			b.bookmark("/past/a/next/" + undo)
			end(b)
			b.want("/past/a/", `{"lines":"one,two,three","born":"one,two,three","kept":"three"}`)
			if other := b.get("/past/other/look"); !strings.HasPrefix(other, `{"lines":"else"`) {
				t.Errorf("another object: %s", other)
			}
		})
	}
}

// deleteAll() can be undone, too, also what the runtime keeps in tables of its own.
func TestRecoveryOfDeleted(t *testing.T) {
	for _, end := range []string{"abort", "cell"} {
		t.Run(end, func(t *testing.T) {
			b := newBench(t, nil)
			b.deploy(pastVersion(b))
			empty := b.bookmark("/past/a/current")
			b.get("/past/a/add/one")
			full := b.bookmark("/past/a/current")
			b.want("/past/a/clear", "null")
			b.bookmark("/past/a/next/" + full)
			sessionEnds[end](b)
			b.want("/past/a/", `{"lines":"one","born":"one","kept":"one"}`)
			b.bookmark("/past/a/next/" + empty)
			sessionEnds[end](b)
			b.want("/past/a/add/new", `{"lines":"new","born":"","kept":null}`)
			b.want("/past/a/abort", `"Error: again"`)
			b.want("/past/a/", `{"lines":"new","born":"new","kept":"new"}`)
		})
	}
}

// The alarm is part of what is restored.
func TestRecoveryOfAlarms(t *testing.T) {
	later := time.Now().Add(time.Hour).UnixMilli()
	for _, end := range []string{"abort", "cell"} {
		t.Run(end, func(t *testing.T) {
			b := newBench(t, nil)
			b.deploy(pastVersion(b))
			b.get("/past/a/add/one")
			none := b.bookmark("/past/a/current")
			b.get(fmt.Sprint("/past/a/set/", later))
			set := b.bookmark("/past/a/current")
			b.get("/past/a/unset")
			b.want("/past/a/when", "null")

			b.bookmark("/past/a/next/" + set)
			sessionEnds[end](b)
			b.want("/past/a/when", fmt.Sprint(later))
			if p := b.pool("past"); !p.alarmSet() {
				t.Error("the runtime does not know of the alarm")
			}

			b.bookmark("/past/a/next/" + none)
			sessionEnds[end](b)
			b.want("/past/a/when", "null")
			b.want("/past/a/look", `{"lines":"one","born":"one","kept":"one"}`)

			// One that was due in the meantime is due at once.
			b.get(fmt.Sprint("/past/a/set/", time.Now().Add(700*time.Millisecond).UnixMilli()))
			due := b.bookmark("/past/a/current")
			poll.Until(t, "it rings", func() bool { return strings.Contains(b.get("/past/a/look"), "rang") })
			b.bookmark("/past/a/next/" + due)
			sessionEnds[end](b)
			poll.Until(t, "it rings again", func() bool { return strings.Contains(b.get("/past/a/look"), `"lines":"one,rang"`) })
		})
	}
}

// The session that begins with a restore may be begun by an alarm, which the state may
// be without.
func TestRecoveryBegunByAlarm(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(pastVersion(b))
	b.get("/past/a/add/one")
	first := b.bookmark("/past/a/current")
	b.get("/past/a/add/two")
	b.get(fmt.Sprint("/past/a/set/", time.Now().Add(300*time.Millisecond).UnixMilli()))
	b.bookmark("/past/a/next/" + first)
	b.want("/past/a/abort", `"Error: again"`)
	poll.Until(t, "the restore is over", func() bool { return len(b.notes()) == 0 })
	b.want("/past/a/look", `{"lines":"one","born":"one","kept":"one"}`)
	b.want("/past/a/when", "null")
}

// notes are the restores that are to happen.
func (b *bench) notes() []string {
	list, err := filepath.Glob(filepath.Join(b.o.Dir, historyFolder, "*", restoresFolder, "*"))
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// What is wrong is said, and changes nothing.
func TestRecoveryProblems(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(pastVersion(b))
	b.get("/past/a/add/one")
	b.get("/past/b/add/one")
	own, other := b.bookmark("/past/a/current"), b.bookmark("/past/b/current")
	future := time.Now().Add(time.Hour)
	for path, want := range map[string]string{
		"next/nonsense":           `"Error: Invalid bookmark: \"nonsense\" is not one."`,
		"next/" + other:           `"Error: Invalid bookmark: ` + other + ` is not one of this Durable Object."`,
		"next/00000000" + own[8:]: `"Error: Invalid bookmark: it must be of the last 30 days."`,
		"next/7fffffff" + own[8:]: `"Error: Invalid bookmark: this Durable Object has no such bookmark."`,
		"next/" + own[:8] + fmt.Sprintf("-%08x", 1) + own[17:]:          `"Error: That is too old: the oldest state of this Durable Object that is kept is of`,
		fmt.Sprint("at/", future.UnixMilli()):                           `"Error: The timestamp is in the future."`,
		fmt.Sprint("at/", time.Now().Add(-31*24*time.Hour).UnixMilli()): `"Error: The timestamp must be within the last 30 days."`,
		fmt.Sprint("at/", time.Now().Add(-time.Hour).UnixMilli()):       `"Error: That is too old: the oldest state of this Durable Object that is kept is of`,
	} {
		if got := b.get("/past/a/" + path); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	b.get("/past/a/abort")
	b.want("/past/a/look", `{"lines":"one","born":"one","kept":"one"}`)
	if notes := b.notes(); len(notes) > 0 {
		t.Errorf("restores are noted: %s", notes)
	}
}

// A restore whose state has become unreadable is given up, once and for all.
func TestRecoveryOfDamage(t *testing.T) {
	for _, end := range []string{"abort", "cell"} {
		t.Run(end, func(t *testing.T) {
			b := newBench(t, nil)
			b.deploy(pastVersion(b))
			b.get("/past/a/add/one")
			first := b.bookmark("/past/a/current")
			b.get("/past/a/add/two")
			b.bookmark("/past/a/next/" + first)
			files, _ := filepath.Glob(filepath.Join(b.o.Dir, historyFolder, "past-Room", strings.Repeat("?", 64)))
			if len(files) != 1 {
				t.Fatalf("histories: %s", files)
			}
			data, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			copy(data[80:], "nonsense")
			if err := os.WriteFile(files[0], data, 0o600); err != nil {
				t.Fatal(err)
			}
			sessionEnds[end](b)
			if end == "abort" {
				b.want("/past/a/look", `"Error: This Durable Object was to be restored to an earlier state, which cannot be read. Nothing was changed."`)
			}
			b.want("/past/a/look", `{"lines":"one,two","born":"one,two","kept":"two"}`)
		})
	}
}

// pool is that of the Worker's version.
func (b *bench) pool(worker string) *pool {
	b.t.Helper()
	w, err := b.lookup(worker)
	if err != nil {
		b.t.Fatal(err)
	}
	return w.primary()
}

// A class that another Worker takes over brings its history along.
func TestRecoveryAfterTransfer(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(pastVersion(b))
	b.get("/past/a/add/one")
	first := b.bookmark("/past/a/current")
	b.get("/past/a/add/two")
	b.bookmark("/past/a/next/" + first)
	heir := pastVersion(b)
	heir.Worker = "heir"
	b.set(&config.Worker{Name: "heir", Shares: []config.Share{{Version: heir, Percentage: 100}}})
	b.want("/heir/a/look", `{"lines":"one","born":"one","kept":"one"}`)
	b.get("/heir/a/add/three")
	b.bookmark("/heir/a/next/" + first)
	b.get("/heir/a/abort")
	b.want("/heir/a/look", `{"lines":"one","born":"one","kept":"one"}`)
}

// A facet is not the object that it is part of.
func TestNoRecoveryOfFacets(t *testing.T) {
	b := newBench(t, nil)
	v := b.version("past", strings.Replace(past, "async clear()", `facet() {
    return this.ctx.facets.get("x", () => ({ class: this.ctx.exports.Part })).current();
  }
  async clear()`, 1)+"\nexport class Part extends DurableObject { current() { return this.ctx.storage.getCurrentBookmark() } }", pastVersion(b).Bindings...)
	v.CompatibilityFlags = []string{"enable_ctx_exports"}
	v.Classes = []config.Class{{Name: "Room", SQLite: true, Key: "past-Room"}, {Name: "Part", SQLite: true, Key: "past-Part"}}
	b.deploy(v)
	b.get("/past/a/add/one")
	b.want("/past/a/facet", `"Error: A facet of a Durable Object has no point-in-time recovery of its own."`)
}

// The session that begins with a restore is like any other: its constructor may ask
// for a bookmark before the first event, what it throws reaches the caller, and an
// object is what its class says.
func TestSessionAfterRestore(t *testing.T) {
	b := newBench(t, nil)
	source := strings.NewReplacer(
		`this.#born = this.lines();`, `this.#born = this.lines();
    if (this.#born.endsWith("poison")) throw new RangeError("poisoned");
    ctx.blockConcurrencyWhile(async () => { this.mark = await ctx.storage.getCurrentBookmark() });`,
		`async clear()`, `marked() { return this.mark }
  what() { return [this instanceof Room, this.constructor === Room, this.constructor.name, Object.keys(this).includes("mark")].join() }
  get property() { return this.#born }
  async read() { return this.ctx.exports.Room.getByName("a").property }
  async clear()`).Replace(past)
	v := b.version("past", source, pastVersion(b).Bindings...)
	v.Classes = pastVersion(b).Classes
	b.deploy(v)
	b.get("/past/a/add/one")
	good := b.bookmark("/past/a/current")
	b.get("/past/a/add/poison")
	bad := b.bookmark("/past/a/current")
	want := b.get("/past/a/what")
	b.bookmark("/past/a/next/" + good)
	b.want("/past/a/abort", `"Error: again"`)
	b.bookmark("/past/a/marked")
	b.want("/past/a/what", want)
	b.want("/past/b/read", `"one"`)
	b.want("/past/a/nothing", `"TypeError: The RPC receiver does not implement the method \"nothing\"."`)
	b.bookmark("/past/a/next/" + bad)
	b.want("/past/a/abort", `"Error: again"`)
	for range 2 {
		b.want("/past/a/look", `"RangeError: poisoned"`)
	}
}

// What a kill has cut off of a restore is done again, and the state before it is still
// the one before it.
func TestRestoreCutOff(t *testing.T) {
	for name, steps := range map[string]func(t *testing.T, r *recovery, o objectID, x *object, n *note) error{
		"after the present state was captured": func(t *testing.T, r *recovery, o objectID, x *object, n *note) error {
			_, err := x.history.Capture(t.Context(), capture.How{Sync: true, Alias: n.Undo})
			return err
		},
		"after the earlier state was written": func(t *testing.T, r *recovery, o objectID, x *object, n *note) error {
			return r.restore(t.Context(), "past", o, x, n)
		},
		"before the note was removed": func(t *testing.T, r *recovery, o objectID, x *object, n *note) error {
			_, err := r.resume(t.Context(), "past", o, x)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			v := b.deploy(pastVersion(b))
			b.get("/past/a/add/one")
			first := b.bookmark("/past/a/current")
			b.get("/past/a/add/two")
			undo := b.bookmark("/past/a/next/" + first)
			b.set()
			poll.Until(t, "the cell is gone", func() bool { return len(b.Cells()) == 0 })
			o := objectID{key: "past-Room", id: filepath.Base(b.notes()[0])}
			n, err := b.recovery.noted(o)
			if err != nil || n == nil {
				t.Fatal(n, err)
			}
			if err := steps(t, b.recovery, o, b.recovery.object("past", o), n); err != nil {
				t.Fatal(err)
			}
			b.deploy(v)
			b.want("/past/a/look", `{"lines":"one","born":"one","kept":"one"}`)
			if left := b.notes(); len(left) > 0 {
				t.Errorf("restores are noted: %s", left)
			}
			b.bookmark("/past/a/next/" + undo)
			b.want("/past/a/abort", `"Error: again"`)
			b.want("/past/a/look", `{"lines":"one,two","born":"one,two","kept":"two"}`)
		})
	}
}

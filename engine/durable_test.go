package engine

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/internal/crashtest"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/telemetry"
)

// counter is a Worker with one object that counts, and that would notice if
// another instance of itself ran at the same time: each has a mark of its own,
// and only the one whose mark is stored may count.
const counter = `import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  constructor(ctx, env) { super(ctx, env); this.mark = crypto.randomUUID(); this.claimed = false }
  async next() {
    const s = this.ctx.storage;
    if (!this.claimed) { await s.put("mark", this.mark); this.claimed = true }
    else if (await s.get("mark") !== this.mark) throw new Error("another instance runs");
    const n = (await s.get("n") ?? 0) + 1;
    await s.put("n", n);
    await s.sync();
    return n;
  }
  async alarmIn(ms) { await this.ctx.storage.setAlarm(Date.now() + ms) }
  async alarm() { await this.ctx.storage.put("rang", true) }
  async rang() { return await this.ctx.storage.get("rang") ?? false }
}
export default { async fetch(r, env) {
  const o = env.C.get(env.C.idFromName("a"));
  switch (new URL(r.url).pathname) {
    case "/alarm": await o.alarmIn(500); return new Response("set");
    case "/rang": return new Response(String(await o.rang()));
  }
  return new Response(String(await o.next()));
} }
// %d`

func (b *bench) counter(n int) *config.Version {
	v := b.version("do", fmt.Sprintf(counter, n), bound(b.t, "C", "durable_object_namespace", map[string]string{"class_name": "Counter"}))
	v.Classes = []config.Class{{Name: "Counter", SQLite: true, Key: "do-Counter"}}
	return v
}

// The counter never loses a count and never runs twice, through new versions
// and crashes under load.
func TestDurableObjects(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.counter(0))
	b.want("/do/", "1")
	if b.cellLocks(t) {
		t.Error("the objects' lock is free while a cell runs")
	}

	var mu sync.Mutex
	last := 1
	var failures []string
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				before := last
				mu.Unlock()
				status, body, err := b.ask("/do/")
				n, _ := strconv.Atoi(body)
				mu.Lock()
				switch {
				case err != nil || status == 503: // a crash, or what it left
					failures = append(failures, "")
				case status != 200:
					failures = append(failures, body)
				case n <= before:
					failures = append(failures, fmt.Sprintf("%d after %d", n, before))
				default:
					last = max(last, n)
				}
				mu.Unlock()
			}
		})
	}
	for i := range 3 {
		b.deploy(b.counter(i + 1))
		if err := b.Start(t.Context(), "do"); err != nil {
			t.Error(err)
		}
	}
	mu.Lock()
	if len(failures) > 0 {
		t.Errorf("failures while versions changed: %q", failures)
	}
	failures = nil
	mu.Unlock()
	poll.Until(t, "the cell is killed", func() bool {
		c, ok := b.cellOf("do")
		return ok && syscall.Kill(c.PID, syscall.SIGKILL) == nil
	})
	poll.Until(t, "it counts again", func() bool { status, _, _ := b.ask("/do/"); return status == 200 })
	cancel()
	wg.Wait()
	for _, f := range failures {
		if f != "" {
			t.Errorf("after the crash: %s", f)
		}
	}
}

// cellLocks tries the lock of the objects as another process would.
func (b *bench) cellLocks(t *testing.T) bool {
	f, err := os.Open(filepath.Join(b.objectsDir("do"), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// An alarm that was set before a restart is raised after it, without a request.
func TestAlarmAfterRestart(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, func(o *Options) { o.Dir = dir })
	v := b.deploy(b.counter(0))
	b.want("/do/alarm", "set")
	c, _ := b.cellOf("do")
	syscall.Kill(c.PID, syscall.SIGKILL)
	b.Close(t.Context())

	b = newBench(t, func(o *Options) {
		o.Dir = dir
		o.IdleAfter = 100 * time.Millisecond
		o.StuckAfter = 800 * time.Millisecond
	})
	b.deploy(v)
	poll.Until(t, "a cell runs though nobody asked", func() bool { _, ok := b.cellOf("do"); return ok })
	poll.Until(t, "the alarm rang and the cell stopped", func() bool { _, ok := b.cellOf("do"); return !ok })
	b.want("/do/rang", "true")
}

// An alarm whose handler runs, or has failed, when the process is killed rings
// again, without a request.
func TestAlarmAfterCrash(t *testing.T) {
	source := `import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async fetch() {
    await this.ctx.storage.setAlarm(Date.now());
    return new Response("set");
  }
  async alarm() {
    const times = (await this.ctx.storage.get("times") ?? 0) + 1;
    await this.ctx.storage.put("times", times);
    await this.ctx.storage.sync();
    console.log("alarm", times);
    if (times === 1) await new Promise(() => {});
    if (times === 2) throw new Error("not yet");
  }
}
export default { fetch: (request, env) => env.C.getByName("a").fetch(request) }`
	b := newBench(t, nil)
	v := b.version("do", source, bound(t, "C", "durable_object_namespace", map[string]string{"class_name": "Counter"}))
	v.Classes = []config.Class{{Name: "Counter", SQLite: true, Key: "do-Counter"}}
	b.deploy(v)
	b.want("/do/", "set")
	rang := func(times int) func() bool {
		return func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return slices.ContainsFunc(b.lines, func(l telemetry.Line) bool { return l.Message == fmt.Sprint("alarm ", times) })
		}
	}
	for times := 1; times <= 2; times++ {
		poll.Until(t, fmt.Sprintf("the alarm rings %d times", times), rang(times))
		c, _ := b.cellOf("do")
		syscall.Kill(c.PID, syscall.SIGKILL)
	}
	poll.Until(t, "it rings once more", rang(3))
}

// The parent is killed with SIGKILL in the middle of its work; no workerd is
// left, and the next one counts on.
func TestParentKilled(t *testing.T) {
	crashtest.Child(func(args []string) error {
		b := newBench(t, func(o *Options) { o.Dir = args[0] })
		b.deploy(b.counter(0))
		b.deploy(b.version("web", hello))
		b.want("/web/", "hello")
		for {
			_, body, err := b.ask("/do/")
			if err != nil {
				return err
			}
			line := "count " + body
			for _, c := range b.Cells() {
				line += fmt.Sprint(" ", c.PID)
			}
			fmt.Println(line)
		}
	})
	binary, err := workerd.Binary(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(workerd.Variable, binary) // the child prints nothing about a download
	dir := t.TempDir()
	last := 0
	for range 3 {
		c := crashtest.Start(t, dir)
		var pids [2]int
		asked := 0
		for line := range c.Lines() {
			var n int
			if _, err := fmt.Sscanf(line, "count %d %d %d", &n, &pids[0], &pids[1]); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if n <= last {
				t.Fatalf("count %d after %d", n, last)
			}
			last = n
			if asked++; asked == 20 {
				c.Kill()
			}
		}
		for _, pid := range pids {
			poll.Until(t, "workerd dies with its parent", func() bool { return !process(pid) })
		}
	}
	// What the killed engines left is cleared by the next.
	b := newBench(t, nil)
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(b.run.path), runDirPattern+"*", "lock"))
	for _, l := range left {
		if f, err := os.Open(l); err == nil {
			if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
				t.Errorf("%s belongs to nobody", l)
			}
			f.Close()
		}
	}
}

// With two versions of a Worker that has objects, only the larger share runs.
func TestDurableShares(t *testing.T) {
	b := newBench(t, nil)
	one, two := b.counter(1), b.counter(2)
	b.deployShares("do", config.Share{Version: one, Percentage: 30}, config.Share{Version: two, Percentage: 70})
	for i := range 10 {
		b.want("/do/", fmt.Sprint(i+1))
	}
	if c := b.Cells(); len(c) != 1 || c[0].Version != two.ID {
		t.Errorf("cells %+v", c)
	}
	if status, _, _ := b.ask("/do/", "Version", one.ID); status != http.StatusNotFound {
		t.Errorf("the smaller share: %d", status)
	}
	if _, err := os.Stat(filepath.Join(b.objectsDir("do"), "do-Counter")); err != nil {
		t.Error(err)
	}
}

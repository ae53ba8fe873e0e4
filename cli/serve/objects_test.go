package serve

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// counterSource is a Worker with a class that counts, and readerSource one that
// reaches it.
const (
	counterSource = `import { DurableObject } from "cloudflare:workers";
export class C extends DurableObject { async next() { const n = (await this.ctx.storage.get("n") ?? 0) + 1; await this.ctx.storage.put("n", n); return n } }
export default { async fetch(r, env) { return new Response(String(await env.C.get(env.C.idFromName("x")).next())) } }`
	readerSource = `export default { async fetch(r, env) { return new Response(String(await env.C.get(env.C.idFromName("x")).next())) } }`
)

func classBinding(script string) map[string]any {
	b := map[string]any{"type": "durable_object_namespace", "name": "C", "class_name": "C"}
	if script != "" {
		b["script_name"] = script
	}
	return b
}

func counterMetadata() map[string]any {
	return map[string]any{
		"bindings":   []any{classBinding("")},
		"migrations": map[string]any{"new_tag": "v1", "steps": []any{map[string]any{"new_sqlite_classes": []string{"C"}}}},
	}
}

// A Worker that is bound to another one's class reaches its objects, through
// deployments of both and restarts, and after a kill.
func TestClassOfAnotherWorker(t *testing.T) {
	dir := t.TempDir()
	r := spawn(t, dir, makeToken(t, dir))
	r.deploy("counter", counterSource, counterMetadata())
	r.deploy("reader", readerSource, map[string]any{"bindings": []any{classBinding("counter")}})
	r.want("reader", "/", 200, "1")
	r.want("counter", "/", 200, "2")
	r.deploy("counter", counterSource+"\n// again", map[string]any{"bindings": []any{classBinding("")}})
	r.want("reader", "/", 200, "3")
	r.deploy("reader", readerSource+"\n// again", map[string]any{"bindings": []any{classBinding("counter")}})
	r.want("reader", "/", 200, "4")
	r.kill()
	r = spawn(t, dir, r.token)
	r.want("reader", "/", 200, "5")
	r.want("counter", "/", 200, "6")
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// pastSource is a Worker with an object that counts and can be put back.
const pastSource = `import { DurableObject } from "cloudflare:workers";
export class C extends DurableObject {
  async next() { const n = (await this.ctx.storage.get("n") ?? 0) + 1; await this.ctx.storage.put("n", n); return n }
  mark() { return this.ctx.storage.getCurrentBookmark() }
  back(bookmark) { return this.ctx.storage.onNextSessionRestoreBookmark(bookmark) }
  again() { this.ctx.abort("again") }
}
export default { async fetch(request, env) {
  const [, method, ...args] = new URL(request.url).pathname.split("/");
  try { return new Response(await env.C.getByName("x")[method || "next"](...args)) } catch (e) { return new Response(e.message) }
} }`

// An object is put back when it begins anew, and by a restart of the server, if need
// be after a kill.
func TestObjectsArePutBack(t *testing.T) {
	dir := t.TempDir()
	r := spawn(t, dir, makeToken(t, dir))
	r.deploy("past", pastSource, counterMetadata())
	mark := func(path string) string {
		t.Helper()
		status, body, err := r.ask("past", "GET", path, nil)
		if err != nil || status != 200 || len(strings.Split(body, "-")) != 4 {
			t.Fatalf("%s: %d %q %v", path, status, body, err)
		}
		return body
	}
	r.want("past", "/", 200, "1")
	one := mark("/mark")
	r.want("past", "/", 200, "2")
	two := mark("/back/" + one)
	r.want("past", "/again", 200, "again")
	r.want("past", "/", 200, "2")
	mark("/back/" + two)
	r.want("past", "/", 200, "3")
	r.kill()
	r = spawn(t, dir, r.token)
	r.want("past", "/", 200, "3") // after 2
	mark("/back/" + one)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	r = spawn(t, dir, r.token)
	r.want("past", "/", 200, "2") // after 1
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// A server that is killed at any moment of a transfer of a class comes back with
// the class in one of the two Workers and all of its objects' data; both Workers
// reach it.
func TestKillWhileTransferring(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	token := makeToken(t, dir)
	r := spawn(t, dir, token)
	r.deploy("a", counterSource, counterMetadata())
	r.deploy("b", counterSource, map[string]any{"bindings": []any{classBinding("a")}})
	last := 0
	count := func() {
		t.Helper()
		for _, worker := range []string{"a", "b"} {
			status, body, err := r.ask(worker, "GET", "/", nil)
			if n, _ := strconv.Atoi(body); err != nil || status != 200 || n != last+1 {
				t.Fatalf("%s: %d %q %v after %d", worker, status, body, err, last)
			}
			last++
		}
	}
	count()
	made := 0
	for range 4 {
		kill := time.AfterFunc(time.Duration(random.IntN(1500))*time.Millisecond, r.kill)
		for r.transfer() == nil {
			made++
		}
		kill.Stop()
		r.kill()
		r = spawn(t, dir, token)
		count()
	}
	t.Logf("%d transfers", made)
	if err := r.transfer(); err != nil {
		t.Fatal(err)
	}
	count()
	if err := r.stop(); err != nil {
		t.Error("SIGTERM:", err)
	}
}

// transfer gives the class C of one of the Workers a and b to the other.
func (r *running) transfer() error {
	var classes []struct{ Script string }
	if err := r.api("GET", "/workers/durable_objects/namespaces", "", nil, &classes); err != nil {
		return err
	}
	var scripts []struct {
		ID  string
		Tag string `json:"migration_tag"`
	}
	if err := r.api("GET", "/workers/scripts", "", nil, &scripts); err != nil {
		return err
	}
	if len(classes) != 1 {
		return fmt.Errorf("classes %+v", classes)
	}
	for _, s := range scripts {
		if s.ID == classes[0].Script {
			continue
		}
		tag, _ := strconv.Atoi(s.Tag)
		migration := map[string]any{"old_tag": s.Tag, "new_tag": strconv.Itoa(tag + 1), "steps": []any{
			map[string]any{"transferred_classes": []any{map[string]any{"from": "C", "from_script": classes[0].Script, "to": "C"}}},
		}}
		return r.upload(s.ID, counterSource, map[string]any{"bindings": []any{classBinding("")}, "migrations": migration})
	}
	return fmt.Errorf("scripts %+v", scripts)
}

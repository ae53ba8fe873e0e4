package serve

import (
	"testing"
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

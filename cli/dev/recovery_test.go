package dev

import (
	"strings"
	"testing"
)

const past = `
-- wrangler.jsonc --
{"name": "past", "main": "index.js", "compatibility_date": "2026-11-01",
  "durable_objects": {"bindings": [{"name": "C", "class_name": "C"}]}, "migrations": [{"tag": "v1", "new_sqlite_classes": ["C"]}]}
-- index.js --
import { DurableObject } from "cloudflare:workers";
export class C extends DurableObject {
  async next() { const n = (await this.ctx.storage.get("n") ?? 0) + 1; await this.ctx.storage.put("n", n); return n }
  mark() { return this.ctx.storage.getCurrentBookmark() }
  back(bookmark) { return this.ctx.storage.onNextSessionRestoreBookmark(bookmark) }
  again() { this.ctx.abort("again") }
}
export default { async fetch(request, env) {
  const [, method, ...args] = new URL(request.url).pathname.split("/");
  try { return new Response(await env.C.getByName("x")[method || "next"](...args)) } catch (e) { return new Response(e.message) }
} }
`

// An object is put back when it begins anew, and also when the project is built again.
func TestObjectsArePutBack(t *testing.T) {
	t.Parallel()
	r := start(t, past, nil)
	mark := func(path string) string {
		t.Helper()
		_, _, text := r.ask(r.client, path, "")
		if len(strings.Split(text, "-")) != 4 {
			t.Fatalf("%s: %q", path, text)
		}
		return text
	}
	r.expect("/", 200, "1")
	one := mark("/mark")
	r.expect("/", 200, "2")
	two := mark("/back/" + one)
	r.expect("/again", 200, "again")
	r.expect("/", 200, "2")
	mark("/back/" + two)
	r.write("index.js", strings.Replace(strings.SplitAfter(past, "-- index.js --\n")[1], "?? 0) + 1", "?? 0) + 10", 1))
	r.printed("Reloaded")
	r.expect("/", 200, "12")
}

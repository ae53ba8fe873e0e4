package engine

import (
	"testing"

	"github.com/selvage-edge/selvage/config"
)

// ctx.exports has the entrypoints and the Durable Object classes of the Worker,
// without bindings; so has the module's own exports.
func TestExportsOfTheWorker(t *testing.T) {
	b := newBench(t, nil)
	v := b.version("web", `import { DurableObject, WorkerEntrypoint, exports } from "cloudflare:workers";
export class Counter extends DurableObject {
  next() { return (this.n = (this.n ?? 0) + 1) }
  async viaItself() { return await this.ctx.exports.Greeter({ props: { who: "an object" } }).hello() }
}
export class Greeter extends WorkerEntrypoint {
  hello() { return "hello " + (this.ctx.props?.who ?? "nobody") }
  fetch() { return new Response(this.hello()) }
}
export default { async fetch(request, env, ctx) {
  const counter = ctx.exports.Counter.getByName("a");
  return Response.json([
    await counter.next(), await exports.Counter.get(ctx.exports.Counter.idFromName("a")).next(), await counter.viaItself(),
    await ctx.exports.Greeter.hello(), await ctx.exports.Greeter({ props: { who: "you" } }).hello(),
    await (await exports.Greeter({ props: { who: "by fetch" } }).fetch("https://x/")).text(),
  ]);
} }`)
	v.Classes = []config.Class{{Name: "Counter", SQLite: true, Key: "web-Counter"}}
	b.deploy(v)
	b.want("/web/", `[1,2,"hello an object","hello nobody","hello you","hello by fetch"]`)
}

// Objects of a class that is not of SQLite have no point-in-time recovery, and are
// told so in the runtime's words.
func TestNoRecoveryWithoutSQLite(t *testing.T) {
	b := newBench(t, nil)
	v := b.version("web", `import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async try() {
    const said = async (f) => { try { return await f() } catch (e) { return e.name + ": " + e.message } };
    const s = this.ctx.storage;
    await s.put("n", 1);
    return [
      await said(() => s.getCurrentBookmark()),
      await said(() => s.getBookmarkForTime(Date.now() - 60000)),
      await said(() => s.onNextSessionRestoreBookmark("0".repeat(8) + "-00000000-00000000-" + "0".repeat(32))),
    ];
  }
}
export default { async fetch(request, env) { return Response.json(await env.C.getByName("a").try()) } }`,
		bound(t, "C", "durable_object_namespace", map[string]string{"class_name": "Counter"}))
	v.Classes = []config.Class{{Name: "Counter", Key: "web-Counter"}}
	b.deploy(v)
	const none = `"Error: This Durable Object's storage back-end does not implement point-in-time recovery."`
	b.want("/web/", `[`+none+`,`+none+`,`+none+`]`)
}

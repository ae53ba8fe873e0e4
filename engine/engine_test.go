package engine

import (
	"net/http"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/poll"
)

const hello = `export default { fetch() { return new Response("hello") } }`

func TestHello(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("web", hello))
	b.want("/web/", "hello")
	b.want("/web/", "hello")
	if cells := b.Cells(); len(cells) != 1 || cells[0].Worker != "web" || cells[0].PID == 0 || cells[0].Memory == 0 {
		t.Errorf("cells %+v", cells)
	} else {
		t.Logf("ready after %v, %d MB", cells[0].StartTime, cells[0].Memory>>20)
	}
	if status, body, _ := b.ask("/nobody/"); status != http.StatusNotFound || !strings.Contains(body, `"nobody"`) {
		t.Errorf("unknown Worker: %d %s", status, body)
	}
}

func TestBindings(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("web", `export default { async fetch(request, env) {
  const res = await env.ECHO.fetch("http://x/path", { method: "POST", body: "body", headers: { "Selvage-Capability": "forged" } });
  let net; try { net = (await fetch("https://example.com/")).status } catch (e) { net = e.message }
  return Response.json([env.TEXT, await res.text(), net, await caches.default.match("http://x/") ?? "miss"]);
} }`, bound(t, "TEXT", "plain_text", map[string]string{"text": "ü"}), bound(t, "ECHO", "echo", nil)))
	b.want("/web/", `["ü","web ECHO POST /path body",403,"miss"]`)
}

func TestByteOrderMark(t *testing.T) {
	b := newBench(t, nil)
	v := b.version("web", `import text from "./a.txt"; import data from "./b.bin";
export default { fetch() { return Response.json([text, data.byteLength]) } }`)
	for name, typ := range map[string]config.ModuleType{"a.txt": config.TextModule, "b.bin": config.DataModule} {
		v.Code = append(v.Code.(config.Modules), config.Module{Name: name, Type: typ, Data: []byte("\ufeffü")})
	}
	b.deploy(v)
	b.want("/web/", `["ü",5]`)
}

func TestServiceBinding(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("front", `export default { async fetch(request, env) {
  const viaFetch = await (await env.DEFAULT.fetch("https://callee/some/path?q=1", { cf: { colo: "X" } })).text();
  const self = await (await env.SELF.fetch("http://self/")).text();
  return Response.json([viaFetch, await env.DEFAULT.add(1, 2), await env.NAMED.greet("Ann"), await env.OTHER.greet("Bob"), self]);
} }
import { WorkerEntrypoint } from "cloudflare:workers";
export class Me extends WorkerEntrypoint { fetch() { return new Response("self " + this.ctx.props.n) } }`,
		bound(t, "DEFAULT", "service", map[string]any{"service": "callee"}),
		bound(t, "NAMED", "service", map[string]any{"service": "callee", "entrypoint": "Greeter", "props": map[string]any{"word": "Hi"}}),
		bound(t, "OTHER", "service", map[string]any{"service": "callee", "entrypoint": "Greeter", "props": map[string]any{"word": "Ho"}}),
		bound(t, "SELF", "service", map[string]any{"service": "front", "entrypoint": "Me", "props": map[string]any{"n": 7}})))

	// Called before it is deployed it fails; afterwards it works.
	if status, body, _ := b.ask("/front/"); status != http.StatusInternalServerError {
		t.Errorf("missing callee: %d %s", status, body)
	}
	callee := `import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint {
  fetch(request) { return new Response(request.url + " " + request.cf?.colo) }
  add(a, b) { return a + b }
}
export class Greeter extends WorkerEntrypoint { greet(name) { return this.ctx.props.word + " " + name } }`
	b.deploy(b.version("callee", callee))
	want := `["https://callee/some/path?q=1 X",3,"Hi Ann","Ho Bob","self 7"]`
	b.want("/front/", want)
	// A new version of the callee takes over its sockets.
	b.deploy(b.version("callee", strings.Replace(callee, "return a + b", "return 10 * (a + b)", 1)))
	if err := b.Start(t.Context(), "callee"); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "the new callee answers", func() bool {
		_, body, _ := b.ask("/front/")
		return body == strings.Replace(want, ",3,", ",30,", 1)
	})
}

// What a caller gets wrong is its own trouble: the callee runs on.
func TestAbsentEntrypoint(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("callee", hello))
	b.want("/callee/", "hello")
	b.deploy(b.version("front", `export default { async fetch(r, env) {
  const tries = [];
  for (const f of [async () => { const q = await env.NO.fetch("http://x/"); return q.status + " " + await q.text() }, () => env.NO.anything(1), () => env.NOBODY.rpc(), () => env.BROKEN.rpc()])
    try { tries.push(await f()) } catch (e) { tries.push(e.message) }
  return new Response(tries.join("|"));
} }`,
		bound(t, "NO", "service", map[string]any{"service": "callee", "entrypoint": "Nope"}),
		bound(t, "NOBODY", "service", map[string]any{"service": "nobody"}),
		bound(t, "BROKEN", "service", map[string]any{"service": "broken"})))
	b.deploy(b.version("broken", `throw new RangeError("at the top")`))
	no := `Worker "callee" has no entrypoint named "Nope".`
	b.want("/front/", "503 "+no+"\n|"+no+`|Couldn't find Worker "nobody": it is not deployed.`+
		`|Worker "broken" could not be started: RangeError: at the top`+"\n    at index.js:1:7")
	b.want("/callee/", "hello")
}

package engine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/hop/ask"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/telemetry"
)

// keyKind is KV as the runtime sees it; every value is its key.
type keyKind struct{}

func (keyKind) Type() string                    { return "key" }
func (keyKind) Validate(b config.Binding) error { return nil }
func (keyKind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	return binding.Mount{
		Value: workerd.KVValue(at.Service),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key, _ := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/"))
			fmt.Fprint(w, key)
		}),
	}, nil
}

// askKind is an object with a module of ours; it gives back what it is asked.
type askKind struct{}

func (askKind) Type() string                    { return "ask" }
func (askKind) Validate(b config.Binding) error { return nil }
func (askKind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	return binding.Mount{
		Value: workerd.WrappedValue{Module: "selvage:asking", Inner: []workerd.Binding{{Name: "service", Value: workerd.ServiceValue{Name: at.Service}}}},
		Modules: []workerd.ExtensionModule{{Name: "selvage:asking", Internal: true, Source: `import { ask } from "selvage:ask";
export default ({ service }) => ({ ask: (question) => ask(service, "operation", question) })`}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			question, err := ask.Question(r, 1<<20)
			if err != nil || r.URL.Path != "/operation" {
				question = []byte(r.URL.Path)
			}
			ask.Answer(w, question)
		}),
	}, nil
}

// calls is an engine option that collects what Workers call.
func collectCalls(calls *[]telemetry.Call) func(*Options) {
	var mu sync.Mutex
	return func(o *Options) {
		o.Kinds = append(o.Kinds, keyKind{}, askKind{})
		o.Calls = func(c telemetry.Call) {
			mu.Lock()
			defer mu.Unlock()
			*calls = append(*calls, c)
		}
	}
}

const tooMany = "Too many subrequests by single Worker invocation. To configure this limit, refer to https://developers.cloudflare.com/workers/wrangler/configuration/#limits"

// analyticsKind is Analytics Engine as the runtime sees it.
type analyticsKind struct{ points *atomic.Int64 }

func (analyticsKind) Type() string                    { return "points" }
func (analyticsKind) Validate(b config.Binding) error { return nil }
func (k analyticsKind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	return binding.Mount{
		Value:   workerd.AnalyticsValue(at.Service),
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { k.points.Add(1) }),
	}, nil
}

// An invocation writes 250 data points; the next one begins anew.
func TestDataPoints(t *testing.T) {
	var points atomic.Int64
	b := newBench(t, func(o *Options) { o.Kinds = append(o.Kinds, analyticsKind{&points}) })
	b.deploy(b.version("w", `export default {
  fetch(request, env) {
    let n = 0;
    try { for (; n < 300; n++) env.POINTS.writeDataPoint({ doubles: [n] }) } catch (e) { return new Response(n + " " + e.message) }
    return new Response("no limit");
  },
};`, config.Binding{Name: "POINTS", Type: "points", Raw: []byte(`{"name":"POINTS","type":"points"}`)}))
	for range 2 {
		b.want("/w/", "250 Too many data points by single Worker invocation: Analytics Engine takes 250.")
	}
	poll.Until(t, "500 points", func() bool { return points.Load() == 500 })
}

// Every way of running code and every way of making subrequests is counted,
// each invocation by itself.
func TestSubrequests(t *testing.T) {
	var calls []telemetry.Call
	b := newBench(t, collectCalls(&calls))
	source := `import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
// until gives how often f works.
async function until(f) {
  for (let n = 0; n < 20; n++) try { await f() } catch (e) { return n + " " + e.message }
  return "no limit";
}
const ways = {
  fetch: (env) => () => fetch("https://example.com/"),
  "fetch a Request": (env) => () => fetch(new Request("https://example.com/", { headers: { a: "b" } })),
  service: (env) => () => env.ECHO.fetch("http://x/"),
  kv: (env) => () => env.KEY.get("key"),
  "kv list": (env) => () => env.KEY.put("key", "value"),
  ask: (env) => () => env.ASK.ask("question"),
  cache: (env) => () => caches.default.match("http://x/"),
  object: (env) => () => env.OBJECT.get(env.OBJECT.idFromName("a")).fetch("http://x/one"),
  timer: (env) => async () => { await new Promise((r) => setTimeout(r, 1)); await env.KEY.get("key") },
};
export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    const way = decodeURIComponent(pathname.slice(1));
    if (way === "rpc") return Response.json([await env.SELF.use(), await env.SELF.use()]);
    if (way === "object rpc") return new Response(await env.OBJECT.get(env.OBJECT.idFromName("a")).use());
    return new Response(await until(ways[way](env)));
  },
};
export class Self extends WorkerEntrypoint {
  use() { return this.inner() } // one invocation, whatever it calls of itself
  inner() { return until(ways.kv(this.env)) }
}
export class Objects extends DurableObject {
  fetch() { return new Response("one") }
  use() { return until(ways.kv(this.env)) }
}
`
	v := b.version("web", source, bound(t, "ECHO", "echo", nil), bound(t, "KEY", "key", nil), bound(t, "ASK", "ask", nil),
		bound(t, "OBJECT", "durable_object_namespace", map[string]any{"class_name": "Objects"}),
		bound(t, "SELF", "service", map[string]any{"service": "web", "entrypoint": "Self"}))
	v.Classes = []config.Class{{Name: "Objects", SQLite: true, Key: "objects"}}
	v.Limits.Subrequests = 7
	b.deploy(v)
	want := "7 " + tooMany
	for _, way := range []string{"fetch", "fetch a Request", "service", "kv", "kv list", "ask", "cache", "object", "timer", "object rpc"} {
		b.want("/web/"+url.PathEscape(way), want)
	}
	b.want("/web/rpc", fmt.Sprintf("[%q,%q]", want, want))

	// Invocations that run at the same time do not pay for each other.
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { b.want("/web/timer", want) })
	}
	all.Wait()
}

func TestSubrequestsByDefault(t *testing.T) {
	var calls []telemetry.Call
	b := newBench(t, collectCalls(&calls))
	b.deploy(b.version("web", `export default { async fetch(request, env) {
  let n = 0; try { for (; n < 20000; n++) await caches.default.delete("http://x/") } catch (e) { return new Response(n + e.name) }
} }`))
	b.want("/web/", "10000Error")
}

// One Ray ID goes through everything that a request touches.
func TestRay(t *testing.T) {
	var calls []telemetry.Call
	b := newBench(t, collectCalls(&calls))
	b.deploy(b.version("callee", `export default { fetch(request) { console.log("in", "callee"); return new Response(request.headers.get("cf-ray")) } }`))
	b.deploy(b.version("web", `export default { async fetch(request, env, ctx) {
  console.log("%s and %d", "text", 5);
  console.warn({ a: 1 }, "b");
  console.error(new Error("oops").message);
  const got = [
    await (await env.CALLEE.fetch("http://x/")).text(),
    await (await env.CALLEE.fetch(request)).text(),
    await (await env.CALLEE.fetch("http://x/", { method: "POST", body: "b", headers: { "cf-ray": "forged", a: "b" } })).text(),
    await (await env.CALLEE.fetch(new Request("http://x/"), { headers: [["a", "b"]] })).text(),
    await env.KEY.get("a/ü key"), await env.KEY.get("k"), await env.KEY.get("x".repeat(500)) === "x".repeat(500),
    await (await env.ECHO.fetch("http://x/path")).text(),
    await env.ASK.ask("short"), await env.ASK.ask("long ".repeat(1000)) === "long ".repeat(1000),
  ];
  await fetch("https://example.com/");
  ctx.waitUntil(new Promise((r) => setTimeout(r, 5)).then(() => console.log("later")));
  return Response.json(got);
} }`, bound(t, "CALLEE", "service", map[string]any{"service": "callee"}), bound(t, "KEY", "key", nil), bound(t, "ECHO", "echo", nil), bound(t, "ASK", "ask", nil)))
	const ray = "0123456789abcdef"
	head := fmt.Sprintf("%q", ray+"-LOC")
	b.want("/web/", "["+head+","+head+","+head+","+head+`,"a/ü key","k",true,"web ECHO GET /path ","short",true]`, "CF-Ray", ray+"-LOC")

	var got []string
	lines := func() []string {
		b.mu.Lock()
		defer b.mu.Unlock()
		got = got[:0]
		for _, l := range b.lines {
			if !l.Runtime {
				got = append(got, l.Worker+" "+l.Ray+" "+l.Level+" "+l.Message)
			}
		}
		return got
	}
	poll.Until(t, "the last line", func() bool { return slices.Contains(lines(), "web "+ray+" log later") })
	for _, want := range []string{"log text and 5", "warn { a: 1 } b", "error oops", "log later"} {
		if !slices.Contains(got, "web "+ray+" "+want) {
			t.Errorf("no line %q in %q", want, got)
		}
	}
	if !slices.Contains(got, "callee "+ray+" log in callee") {
		t.Errorf("no line of the callee in %q", got)
	}
	var called []string
	for _, c := range calls {
		called = append(called, c.Binding+" "+c.Ray)
	}
	// Keys that are very short or very long travel without.
	for _, want := range []string{"KEY " + ray, "ECHO " + ray, "ASK " + ray, "fetch " + ray} {
		if !slices.Contains(called, want) {
			t.Errorf("no call %q in %q", want, called)
		}
	}
}

// Without a Ray ID, in the log of DevTools and in the tail, texts are as the
// Worker wrote them.
func TestMarksAreInvisible(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("web", `export default { fetch() { console.log("%s", "a", {b: 1}); console.log({b: 1}, "a"); return new Response("ok") } }`))
	t.Cleanup(b.Observe("web"))
	b.want("/web/", "ok", "CF-Ray", "0123456789abcdef-LOC")
	b.want("/web/", "ok")
	poll.Until(t, "both invocations", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.invocations) == 2 })
	for _, i := range b.invocations {
		var got []string
		for _, l := range i.Logs {
			got = append(got, string(l.Message))
		}
		if want := []string{`["%s","a",{"b":1}]`, `[{"b":1},"a"]`}; !slices.Equal(got, want) {
			t.Errorf("tail %q, want %q", got, want)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, l := range b.lines {
		if want := []string{"a { b: 1 }", "{ b: 1 } a"}[i%2]; l.Message != want {
			t.Errorf("line %q, want %q", l.Message, want)
		}
	}
}

// A Worker's exports are what they were, whatever their shape.
func TestShapesOfExports(t *testing.T) {
	b := newBench(t, nil)
	for name, source := range map[string]string{
		"object":    `export default { text: "ok", async fetch() { return new Response(this.text) } }`,
		"frozen":    `export default Object.freeze({ fetch() { return new Response("ok") } })`,
		"arrow":     `export default { fetch: async () => new Response("ok") }`,
		"instance":  `class App { #text = "ok"; fetch() { return new Response(this.#text) } } export default new App()`,
		"field":     `class App { text = "ok"; fetch = () => new Response(this.text) } export default new App()`,
		"class":     `import { WorkerEntrypoint as E } from "cloudflare:workers"; class A extends E { #t = "ok"; get t() { return this.#t } fetch() { return new Response(this.t) } } export default class extends A { fetch(r) { return super.fetch(r) } }`,
		"re-export": `const app = { fetch() { return new Response("ok") } }; export { app as default, app as other }; export function f() {} export class C {}`,
		"top level": `const own = fetch; const log = console.log; log("x"); export default { async fetch() { try { await own("https://example.com/") } catch {} return new Response(typeof own === "function" && own.name === "fetch" && own === fetch ? "ok" : "no") } }`,
		"method":    `export default { async fetch() { try { await fetch.call(undefined, "not a url"); return new Response("no") } catch (e) { return new Response(e instanceof TypeError ? "ok" : e.stack) } } }`,
	} {
		b.deploy(b.version("web", source))
		if err := b.Start(t.Context(), "web"); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		poll.Until(t, name, func() bool { _, body, _ := b.ask("/web/"); return body == "ok" })
	}
}

// An exception's line has the stack, the user's part of it, and the Ray ID.
func TestUncaught(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("web", `export default { async fetch() { await 0; fail() } };
function fail() { throw new Error("boom\non two lines") }`))
	b.ask("/web/", "CF-Ray", "0123456789abcdef-LOC")
	want := telemetry.Line{Worker: "web", Ray: "0123456789abcdef", Level: "error", Runtime: true,
		Message: "Uncaught Error: boom\non two lines\n    at fail (index.js:2:25)\n    at Object.fetch (index.js:1:43)"}
	var got telemetry.Line
	poll.Until(t, "the exception's line", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		i := slices.IndexFunc(b.lines, func(l telemetry.Line) bool { return l.Ray != "" })
		if i >= 0 {
			got = b.lines[i]
		}
		return i >= 0
	})
	got.Time, got.Version = want.Time, ""
	if got != want {
		t.Errorf("line\n%+v, want\n%+v", got, want)
	}
}

func TestMark(t *testing.T) {
	m := mark("\x1e0011")
	const ray = "0123456789abcdef"
	for _, c := range []struct {
		message, text, ray string
		uncaught           bool
	}{
		{"plain", "plain", "", false},
		{"", "", "", false},
		{"\x1e0011" + ray + "\x1etext", "text", ray, false},
		{"\x1e0011" + ray + "\x1e text", " text", ray, false},
		{"\x1e0011" + ray + "\x1f { a: 1 }", "{ a: 1 }", ray, false},
		{"\x1e0011" + ray + "\x1f", "", ray, false},
		{"\x1e0011" + ray + "\x1dError: x", "Error: x", ray, true},
		{"\x1e0011----------------\x1dError: x", "Error: x", "", true},
		{"\x1e0012" + ray + "\x1etext", "\x1e0012" + ray + "\x1etext", "", false}, // another cell's
		{"\x1e0011" + ray, "\x1e0011" + ray, "", false},
		{"\x1e0011" + ray + "text", "\x1e0011" + ray + "text", "", false},
		{"a \x1e0011" + ray + "\x1etext", "a \x1e0011" + ray + "\x1etext", "", false},
	} {
		if text, ray, uncaught := m.line(c.message); text != c.text || ray != c.ray || uncaught != c.uncaught {
			t.Errorf("line(%q) = %q, %q, %v", c.message, text, ray, uncaught)
		}
	}
	for in, want := range map[string]string{
		`["\u001e0011` + ray + `\u001etext",1]`:   `["text",1]`,
		`["\u001e0011` + ray + `\u001f",{"a":1}]`: `[{"a":1}]`,
		`["\u001e0011` + ray + `\u001dError: x"]`: ``,
		`["text"]`: `["text"]`, `[]`: `[]`, `{}`: `{}`, `[1]`: `[1]`,
	} {
		if got, marked := m.arguments(json.RawMessage(in)); string(got) != want || (marked == ray) != strings.Contains(in, ray) {
			t.Errorf("arguments(%s) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		`{"cron":"* * * * *\u001e0011` + ray + `","scheduledTime":1}`: `{"cron":"* * * * *","scheduledTime":1}`,
		`{"queue":"jobs\u001e0011` + ray + `","batchSize":1}`:         `{"batchSize":1,"queue":"jobs"}`,
		`{"queue":"jobs\u001e0012` + ray + `"}`:                       `{"queue":"jobs\u001e0012` + ray + `"}`, // another cell's
		`{"cron":"* * * * *"}`:                                        `{"cron":"* * * * *"}`,
		`{"cron":1}`:                                                  `{"cron":1}`, `null`: `null`, `[]`: `[]`, ``: ``,
	} {
		if got, id := m.untag(json.RawMessage(in)); string(got) != want || (id == ray) != (in != want) {
			t.Errorf("untag(%s) = %s, %q, want %s", in, got, id, want)
		}
	}
	for path, want := range map[string]string{
		"/key": "/key", "/": "/", "/a%2Fb": "/a%2Fb",
		"/key%1E0011" + ray:     "/key",
		"/a%2Fb%1E0011" + ray:   "/a%2Fb",
		"/%1e0011" + ray:        "/",
		"/key%1E0012" + ray:     "/key%1E0012" + ray,
		"/%1E0011" + ray + "/x": "/%1E0011" + ray + "/x",
	} {
		u, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{URL: u, Header: http.Header{}}
		m.key(r)
		if got := u.EscapedPath(); got != want || (rayOf(r.Header) == ray) != (path != want) {
			t.Errorf("key(%s) = %s, ray %q, want %s", path, got, rayOf(r.Header), want)
		}
	}
}

func FuzzMark(f *testing.F) {
	m := mark("\x1e0011")
	f.Add("\x1e00110123456789abcdef\x1etext")
	f.Add("\x1e00110123456789abcdef\x1f { a: 1 }")
	f.Add("\x1e0011")
	f.Add(`["\u001e00110123456789abcdef\u001f",1]`)
	f.Add("/a%2Fb%1E00110123456789abcdef")
	f.Fuzz(func(t *testing.T, s string) {
		if text, ray, _ := m.line(s); len(text) > len(s) || ray != "" && len(ray) != rayLength {
			t.Errorf("line(%q) = %q, %q", s, text, ray)
		}
		if got, _ := m.arguments(json.RawMessage(s)); got != nil && json.Valid([]byte(s)) && !json.Valid(got) {
			t.Errorf("arguments(%q) = %q", s, got)
		}
		if u, err := url.ParseRequestURI(s); err == nil {
			r := &http.Request{URL: u, Header: http.Header{}}
			m.key(r)
			if strings.HasPrefix(s, "/") && rayOf(r.Header) == "" && len(r.Header) == 0 && u.RequestURI() == "" {
				t.Errorf("key(%q) lost the path", s)
			}
			if path, err := url.PathUnescape(u.EscapedPath()); err != nil || path != u.Path {
				t.Errorf("key(%q): the two forms of the path differ: %q, %q", s, u.EscapedPath(), u.Path)
			}
		}
	})
}

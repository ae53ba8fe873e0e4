package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/internal/poll"
)

// load asks path from some goroutines until stop is called, which returns how
// many were answered and the first failure.
func (b *bench) load(path string, goroutines int) (stop func() (int64, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var count atomic.Int64
	var failure atomic.Pointer[error]
	for range goroutines {
		wg.Go(func() {
			for ctx.Err() == nil {
				status, body, err := b.ask(path)
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("%d %s", status, body)
				}
				if err != nil {
					failure.CompareAndSwap(nil, &err)
				}
				count.Add(1)
			}
		})
	}
	return func() (int64, error) {
		cancel()
		wg.Wait()
		if p := failure.Load(); p != nil {
			return count.Load(), *p
		}
		return count.Load(), nil
	}
}

// No request fails while one version after the other takes over.
func TestSwapUnderLoad(t *testing.T) {
	b := newBench(t, nil)
	source := `export default { async fetch() { await scheduler.wait(5); return new Response("%d") } }`
	b.deploy(b.version("web", fmt.Sprintf(source, 0)))
	b.want("/web/", "0")
	stop := b.load("/web/", 4)
	const swaps = 20
	for i := 1; i <= swaps; i++ {
		b.deploy(b.version("web", fmt.Sprintf(source, i)))
		if err := b.Start(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
	}
	n, err := stop()
	if err != nil || n < 200 {
		t.Errorf("%d requests, first failure: %v", n, err)
	}
	b.want("/web/", fmt.Sprint(swaps))
	t.Logf("%d requests across %d swaps", n, swaps)
}

// Calls of other cells survive the callee's new versions, too.
func TestCalleeSwapUnderLoad(t *testing.T) {
	for _, call := range []string{`await (await env.C.fetch("http://c/")).text()`, `await env.C.get()`} {
		t.Run(call, func(t *testing.T) {
			b := newBench(t, nil)
			source := `import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint { get() { return "%[1]d" } fetch() { return new Response("%[1]d") } }`
			b.deploy(b.version("callee", fmt.Sprintf(source, 0)))
			b.deploy(b.version("front", `export default { async fetch(r, env) { return new Response(`+call+`) } }`,
				bound(t, "C", "service", map[string]any{"service": "callee"})))
			b.want("/front/", "0")
			stop := b.load("/front/", 2)
			for i := 1; i <= 3; i++ {
				b.deploy(b.version("callee", fmt.Sprintf(source, i)))
				poll.Until(t, "the new version is called", func() bool {
					_, body, _ := b.ask("/front/")
					return body == fmt.Sprint(i)
				})
			}
			n, err := stop()
			if err != nil {
				t.Errorf("%d requests, first failure: %v", n, err)
			}
		})
	}
}

// A crash costs the Worker's own requests in flight at most; others and the
// next ones are served.
func TestCrash(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("well", hello))
	b.deploy(b.version("ill", hello))
	b.want("/ill/", "hello")
	b.want("/well/", "hello")
	stop := b.load("/well/", 2)
	for range 3 {
		c, ok := b.cellOf("ill")
		if !ok {
			t.Fatal("no cell")
		}
		syscall.Kill(c.PID, syscall.SIGKILL)
		poll.Until(t, "the cell is gone", func() bool { d, ok := b.cellOf("ill"); return !ok || d.PID != c.PID })
		poll.Until(t, "the next request is served", func() bool {
			status, body, err := b.ask("/ill/")
			return err == nil && status == 200 && body == "hello"
		})
	}
	if n, err := stop(); err != nil {
		t.Errorf("another Worker suffered: %d requests, %v", n, err)
	}
	// A GET whose cell dies before it answers goes to the next cell.
	b.deploy(b.version("slow", `export default { async fetch(r) { if (r.method === "GET") await scheduler.wait(300); else await scheduler.wait(20000); return new Response("slow") } }`))
	b.want("/slow/", "slow")
	done := make(chan string, 2)
	go func() { status, body, _ := b.ask("/slow/"); done <- fmt.Sprint(status, body) }()
	poll.Until(t, "the request is in flight", func() bool { c, _ := b.cellOf("slow"); return c.InFlight == 1 })
	c, _ := b.cellOf("slow")
	syscall.Kill(c.PID, syscall.SIGKILL)
	if got := <-done; got != "200slow" {
		t.Errorf("GET: %s", got)
	}
	// A POST is never sent twice.
	go func() {
		res, err := b.server.Client().Post(b.server.URL+"/slow/", "text/plain", strings.NewReader("x"))
		if err != nil {
			done <- err.Error()
			return
		}
		res.Body.Close()
		done <- fmt.Sprint(res.StatusCode, res.Header.Get("Fault"))
	}()
	poll.Until(t, "the request is in flight", func() bool { c, _ := b.cellOf("slow"); return c.InFlight == 1 })
	c, _ = b.cellOf("slow")
	syscall.Kill(c.PID, syscall.SIGKILL)
	if got := <-done; got != "5031105" {
		t.Errorf("POST: %s", got)
	}
}

// A Worker that never yields, or grows without bounds, loses its cell; its own
// requests fail with the cause.
func TestRunaway(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.StuckAfter = time.Second
		o.MaxMemory = 200 << 20
	})
	b.deploy(b.version("well", hello))
	b.deploy(b.version("ill", `export default { async fetch(r) {
  const p = new URL(r.url).pathname;
  if (p === "/loop") while (true);
  if (p === "/heap") { const a = []; while (true) a.push(new Array(1e6).fill(a.length)); }
  if (p === "/buffers") { globalThis.a = []; for (let i = 0; i < 600; i++) { a.push(new Uint8Array(1 << 20).fill(1)); if (i % 10 == 0) await scheduler.wait(1); } await scheduler.wait(10000); }
  return new Response("fine") } }`))
	b.want("/ill/", "fine")
	b.want("/well/", "hello")
	stop := b.load("/well/", 1)
	for _, c := range []struct{ path, text string }{
		{"/loop", "CPU time limit"},
		{"/heap", "memory limit"},
		{"/buffers", "memory limit"},
		{"/loop", "CPU time limit"},
	} {
		old, _ := b.cellOf("ill")
		status, body, err := b.ask("/ill" + c.path)
		if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, "1102") || !strings.Contains(body, c.text) {
			t.Errorf("%s: %d %q %v", c.path, status, body, err)
		}
		poll.Until(t, "the cell is gone", func() bool { now, ok := b.cellOf("ill"); return !ok || now.PID != old.PID })
		b.want("/ill/", "fine") // at once: those who come next do not pay for it
	}
	if n, err := stop(); err != nil {
		t.Errorf("another Worker suffered: %d requests, %v", n, err)
	}
}

func TestStartFailure(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.MapStack = func(v *config.Version, s string) string {
			return strings.ReplaceAll(s, "index.js:2:31", "src/main.ts:7:3")
		}
	})
	v := b.deploy(b.version("web", "export default {\n fetch() { return new Response(1 }\n}\n"))
	for range 2 { // the second answer comes without another try
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		f := asFault(t, b.Dispatch(w, r, "web", ""), fault.StartFailed)
		if f.Message != "SyntaxError: missing ) after argument list\n    at src/main.ts:7:3" {
			t.Errorf("message %q", f.Message)
		}
	}
	_, err := b.Check(t.Context(), v)
	var se *workerd.StartError
	if !errors.As(err, &se) || se.Module != "index.js" || se.Line != 2 || se.Column != 31 {
		t.Errorf("check: %#v", err)
	}
	b.deploy(b.version("web", hello))
	b.want("/web/", "hello")

	for name, tt := range map[string]struct {
		change func(*config.Version)
		want   string
	}{
		"flag":     {func(v *config.Version) { v.CompatibilityFlags = []string{"experimental"} }, "experimental and cannot be used"},
		"module":   {func(v *config.Version) { v.Code.(config.Modules)[0].Type = config.PythonModule }, `type "text/x-python"`},
		"main":     {func(v *config.Version) { v.MainModule = "other.js" }, `main module "other.js"`},
		"kind":     {func(v *config.Version) { v.Bindings = []config.Binding{{Name: "X", Type: "nope"}} }, `no kind of binding named "nope"`},
		"future":   {func(v *config.Version) { v.CompatibilityDate = "2099-01-01" }, "compatibility date"},
		"no class": {func(v *config.Version) { v.Classes = []config.Class{{Name: "C", Key: "k"}} }, `class "C" is not exported`},
	} {
		t.Run(name, func(t *testing.T) {
			v := b.version("x", hello)
			tt.change(v)
			if _, err := b.Check(t.Context(), v); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestCheckReports(t *testing.T) {
	b := newBench(t, nil)
	v := b.version("web", `import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
export class Room extends DurableObject { hi() {} }
export class Api extends WorkerEntrypoint { greet() {} fetch() {} }
export default { async fetch() {}, scheduled() {}, queue() {} }`)
	v.Classes = []config.Class{{Name: "Room", SQLite: true, Key: "web-Room"}}
	r, err := b.Check(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(r.Handlers) != "[fetch queue scheduled]" || fmt.Sprint(r.Exports) != "[{Api entrypoint [fetch greet]} {Room durable-object [hi]}]" {
		t.Errorf("%+v", r)
	}
	if len(b.Cells()) != 0 {
		t.Errorf("cells %v", b.Cells())
	}
}

// A module in the place of one of ours would run with what ours can reach.
func TestReservedModules(t *testing.T) {
	b := newBench(t, nil)
	v := b.version("web", hello)
	v.Code = append(v.Code.(config.Modules), config.Module{Name: "selvage:invocation", Type: config.ESModule, Data: []byte("export {}")})
	if _, err := b.Check(t.Context(), v); err == nil || !strings.Contains(err.Error(), "are the runtime's own") {
		t.Errorf("error %v", err)
	}
}

func TestScheduled(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("job", `export default { async scheduled(c, env, ctx) {
  console.log(c.cron, new Date(c.scheduledTime).toISOString());
  if (c.cron === "throw") throw new Error("x");
  if (c.cron === "never") { c.noRetry(); throw new Error("x"); }
} }`))
	at := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	for expression, want := range map[string]binding.Outcome{
		"* * * * *": {Outcome: "ok"},
		"throw":     {Outcome: "exception"},
		"never":     {Outcome: "exception", NoRetry: true},
	} {
		got, err := b.Send(t.Context(), "job", cron.Trigger{Cron: expression, Time: at}.Event())
		if err != nil || got.Outcome != want.Outcome || got.NoRetry != want.NoRetry {
			t.Errorf("%s: %+v, %v", expression, got, err)
		}
	}
	poll.Until(t, "the handler's line", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, l := range b.lines {
			if l.Message == "* * * * * 2026-01-02T03:04:00.000Z" && l.Level == "log" && l.Worker == "job" && !l.Runtime {
				return true
			}
		}
		return false
	})
}

func TestException(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("web", `export default { fetch(r) {
  switch (new URL(r.url).pathname) {
    case "/throw": throw new TypeError("boom");
    case "/own": return new Response("Internal Server Error", { status: 500 });
  }
  return new Response("fine") } }`))
	err := b.Dispatch(httptest.NewRecorder(), httptest.NewRequest("GET", "/throw", nil), "web", "")
	asFault(t, err, fault.ThrewException)
	if status, body, _ := b.ask("/web/own"); status != 500 || body != "Internal Server Error" {
		t.Errorf("the Worker's own 500: %d %q", status, body)
	}
	poll.Until(t, "the exception is logged", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, l := range b.lines {
			if l.Runtime && strings.Contains(l.Message, "Uncaught TypeError: boom") {
				return true
			}
		}
		return false
	})
}

func TestTail(t *testing.T) {
	b := newBench(t, nil)
	v := b.deploy(b.version("web", `export default { fetch(r) { console.log("seen", 1); if (r.url.endsWith("throw")) throw new Error("boom"); return new Response("fine") } }`))
	b.want("/web/", "fine")
	before, _ := b.cellOf("web")
	release := b.Observe("web")
	defer release()
	poll.Until(t, "an observed cell takes over", func() bool { c, ok := b.cellOf("web"); return ok && c.Observed && c.PID != before.PID })
	b.ask("/web/throw")
	poll.Until(t, "the tail event", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, i := range b.invocations {
			if i.ScriptName == "web" && i.ScriptVersion.ID == v.ID && i.Outcome == "exception" && len(i.Logs) == 1 &&
				len(i.Exceptions) == 1 && i.Exceptions[0].Message == "boom" {
				return true
			}
		}
		return false
	})
}

func TestShares(t *testing.T) {
	b := newBench(t, nil)
	name := `export default { fetch() { return new Response("%s") } }`
	one, two := b.version("web", fmt.Sprintf(name, "one")), b.version("web", fmt.Sprintf(name, "two"))
	b.deployShares("web", config.Share{Version: one, Percentage: 75}, config.Share{Version: two, Percentage: 25})
	count := map[string]int{}
	for range 400 {
		_, body, _ := b.ask("/web/")
		count[body]++
	}
	if count["one"] < 297 || count["one"] > 303 {
		t.Errorf("75%% of 400: %v", count)
	}
	seen := map[string]bool{}
	for key := range 20 {
		_, first, _ := b.ask("/web/", versionKeyHeader, fmt.Sprint(key))
		_, again, _ := b.ask("/web/", versionKeyHeader, fmt.Sprint(key))
		if first != again {
			t.Errorf("key %d is not sticky", key)
		}
		seen[first] = true
	}
	if len(seen) != 2 {
		t.Errorf("all keys lead to %v", seen)
	}
	b.want("/web/", "two", versionOverridesHeader, `other="x", web="`+two.ID+`"`)
	b.want("/web/", "one", versionOverridesHeader, `web="`+one.ID+`"`)
	b.want("/web/", "two", "Version", two.ID[:8])
	if status, _, _ := b.ask("/web/", "Version", "ffffffff"); status != http.StatusNotFound {
		t.Errorf("unknown version: %d", status)
	}
}

func TestServiceWorkerScript(t *testing.T) {
	b := newBench(t, nil)
	v := b.version("old", `addEventListener("fetch", (e) => e.respondWith(new Response("script " + TEXT)))`,
		bound(t, "TEXT", "plain_text", map[string]string{"text": "var"}))
	v.ServiceWorker, v.CompatibilityDate = true, ""
	b.deploy(v)
	b.want("/old/", "script var")
	if _, err := b.Check(t.Context(), v); err != nil {
		t.Error(err)
	}
}

// The runtime fails without a reason when a script has an object of a module's.
func TestServiceWorkerScriptWithObject(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Kinds = append(o.Kinds, askKind{}) })
	v := b.version("old", `addEventListener("fetch", (e) => e.respondWith(new Response("script")))`, bound(t, "ASK", "ask", nil))
	v.ServiceWorker, v.CompatibilityDate = true, ""
	if _, err := b.Check(t.Context(), v); err == nil || !strings.Contains(err.Error(), "binding ASK (ask): scripts that use addEventListener cannot have it") {
		t.Errorf("got %v", err)
	}
}

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/engine/program"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/telemetry"
)

// api is the handler of a Worker in Go for the tests.
type api struct {
	http.HandlerFunc
	scheduled func(ctx context.Context, e cron.Trigger) error
	tail      func(ctx context.Context, events []telemetry.Invocation) error
}

func (a *api) Scheduled(ctx context.Context, e cron.Trigger) error { return a.scheduled(ctx, e) }
func (a *api) Tail(ctx context.Context, events []telemetry.Invocation) error {
	return a.tail(ctx, events)
}

// inGo makes the Worker "go" of a handler.
func inGo(h http.Handler, tailOf ...string) func(*Options) {
	w := program.New("go", tailOf...)
	w.Open(h)
	return func(o *Options) { o.Programs = []*program.Worker{w} }
}

// programVersion is a version of a Program.
func (b *bench) programVersion(worker string) *config.Version {
	v := b.version(worker, "")
	v.MainModule, v.Code = "", nil
	return v
}

func TestProgram(t *testing.T) {
	release := make(chan struct{})
	a := &api{
		HandlerFunc: func(w http.ResponseWriter, r *http.Request) {
			i := program.InvocationFrom(r.Context())
			switch r.URL.Path {
			case "/panic":
				panic("boom")
			case "/late":
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
				panic("boom")
			case "/wait":
				i.WaitUntil(func(context.Context) error { <-release; return nil })
			case "/log":
				i.Logger().Warn("careful", "user", "A B", "n", 1)
			}
			fmt.Fprintf(w, "%s %s %s", i.Worker, i.Version.ID[:8], r.URL.Path)
		},
		scheduled: func(ctx context.Context, e cron.Trigger) error {
			if e.Cron == "fails" {
				return errors.New("no luck")
			}
			program.InvocationFrom(ctx).WaitUntil(func(context.Context) error { panic("later") })
			return nil
		},
	}
	b := newBench(t, inGo(a))
	if status, _, _ := b.ask("/go/"); status != http.StatusNotFound {
		t.Errorf("not deployed: %d", status)
	}
	b.deploy(b.programVersion("go"))
	b.want("/go/x", "go 00000001 /x")
	status, body, _ := b.ask("/go/panic")
	if status != http.StatusInternalServerError || !strings.Contains(body, "1101") {
		t.Errorf("panic: %d %s", status, body)
	}
	if _, _, err := b.ask("/go/late"); err == nil {
		t.Error("a response that broke off looked whole")
	}
	b.want("/go/log", "go 00000001 /log")
	b.mu.Lock()
	if n := len(b.lines); n != 1 || b.lines[0].Level != "warn" || b.lines[0].Message != `careful user="A B" n=1` {
		t.Errorf("lines %+v", b.lines)
	}
	// Nobody observes, but exceptions are always told.
	if len(b.invocations) != 2 || b.invocations[0].Outcome != "exception" || b.invocations[0].Exceptions[0].Message != "boom" ||
		!strings.Contains(string(b.invocations[0].Event), "/panic") {
		t.Errorf("invocations %+v", b.invocations)
	}
	b.mu.Unlock()

	b.want("/go/wait", "go 00000001 /wait")
	if i := b.Programs()[0]; i.Waiting != 1 || i.InFlight != 0 || i.Total != 5 || i.Exceptions != 2 || i.Oldest == 0 {
		t.Errorf("info %+v", i)
	}
	close(release)
	poll.Until(t, "WaitUntil ends", func() bool { return b.Programs()[0].Waiting == 0 })

	for expression, want := range map[string]string{"fails": "exception", "ok but later": "exception"} {
		out, err := b.Send(context.Background(), "go", cron.Trigger{Cron: expression, Time: time.Unix(60, 0)}.Event())
		if err != nil || out.Outcome != want {
			t.Errorf("scheduled %s: %+v %v", expression, out, err)
		}
	}
}

// A Worker in JavaScript calls a Program by a service binding, with everything
// that a request has.
func TestProgramCalledFromJavaScript(t *testing.T) {
	a := &api{HandlerFunc: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("boom")
		}
		record := telemetry.RequestFrom(r.Context())
		body, _ := io.ReadAll(r.Body)
		var cf struct{ Colo string }
		json.Unmarshal(record.CF, &cf)
		fmt.Fprint(w, record.Scheme, " ", r.Host, " ", r.RequestURI, " ", cf.Colo, " ", string(body), " ",
			string(program.InvocationFrom(r.Context()).Props), " ", len(r.Header["Selvage-Proto"])+len(r.Header["Selvage-Capability"]))
	}}
	b := newBench(t, inGo(a))
	b.deploy(b.programVersion("go"))
	b.deploy(b.version("web", `export default { async fetch(request, env) {
  const results = [];
  const note = async (f) => { try { results.push(await f()) } catch (e) { results.push(e.message) } };
  await note(async () => (await env.API.fetch("https://api/p?q=1", { method: "POST", body: "body", cf: { colo: "X" } })).text());
  await note(async () => { const r = await env.API.fetch("https://api/panic"); return r.status + " " + (await r.text()).trim() });
  await note(async () => (await env.NAMED.fetch("https://api/")).text());
  await note(async () => env.API.add(1, 2));
  return Response.json(results);
} }`, bound(t, "API", "service", map[string]any{"service": "go", "props": map[string]int{"a": 1}}),
		bound(t, "NAMED", "service", map[string]any{"service": "go", "entrypoint": "Named"})))
	b.want("/web/", `["https api /p?q=1 X body {\"a\":1} 0","500 error code: 1101","Worker \"go\" has no entrypoint named \"Named\".\n",`+
		`"add(): Worker \"go\" is written in Go and can be called by fetch() only."]`)
}

// A Program is told what others did, and only that.
func TestProgramTail(t *testing.T) {
	told := make(chan telemetry.Invocation, 10)
	a := &api{tail: func(_ context.Context, events []telemetry.Invocation) error {
		for _, e := range events {
			told <- e
		}
		return nil
	}, HandlerFunc: func(http.ResponseWriter, *http.Request) {}}
	b := newBench(t, inGo(a, "web"))
	b.deploy(b.programVersion("go"))
	b.deploy(b.version("web", hello))
	b.want("/web/", "hello")
	select {
	case i := <-told:
		if i.ScriptName != "web" || i.Outcome != "ok" {
			t.Errorf("told %+v", i)
		}
	case <-time.After(10 * time.Second):
		t.Error("told nothing")
	}
}

func TestProgramDepth(t *testing.T) {
	var b *bench
	calls := 0
	a := &api{HandlerFunc: func(w http.ResponseWriter, r *http.Request) {
		calls++
		if err := b.Call(w, r, binding.Peer{Worker: "go"}); err != nil {
			http.Error(w, err.Error(), fault.From(err).Status)
		}
	}}
	b = newBench(t, inGo(a))
	b.deploy(b.programVersion("go"))
	if status, body, _ := b.ask("/go/"); status != http.StatusInternalServerError || !strings.Contains(body, "1019") || calls != program.MaxDepth+1 {
		t.Errorf("%d calls, %d %s", calls, status, body)
	}
}

// Durable Objects answer callers in Go, through the cell that owns them.
func TestObject(t *testing.T) {
	b := newBench(t, nil)
	v := b.version("web", `import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async fetch(request) {
    if (request.url.endsWith("/throw")) throw new Error("boom");
    const n = (await this.ctx.storage.get("n") ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return new Response([n, this.ctx.id.name, request.method, request.url, await request.text(), request.headers.get("Selvage-Object"), request.cf?.colo].join(" "));
  }
}
export default { fetch() { return new Response("web") } }`)
	v.Classes = []config.Class{{Name: "Counter", SQLite: true, Key: "counter"}}
	b.deploy(v)
	ask := func(o binding.Object, path string) (*httptest.ResponseRecorder, error) {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("body"))
		r.Host = "object"
		r = r.WithContext(telemetry.WithRequest(r.Context(), &telemetry.Request{Scheme: "https", CF: json.RawMessage(`{"colo":"X"}`)}))
		w := httptest.NewRecorder()
		o.Worker = "web"
		err := b.Object(w, r, o)
		return w, err
	}
	for n := 1; n <= 2; n++ {
		w, err := ask(binding.Object{Class: "Counter", Name: "a"}, "/path?q=1")
		if want := fmt.Sprintf("%d a POST https://object/path?q=1 body  X", n); err != nil || w.Body.String() != want {
			t.Errorf("%q %v, want %q", w.Body, err, want)
		}
	}
	id, err := b.ObjectID(context.Background(), binding.Object{Worker: "web", Class: "Counter", Name: "a"})
	if err != nil || len(id) != 64 {
		t.Fatal(id, err)
	}
	if w, err := ask(binding.Object{Class: "Counter", ID: id}, "/"); err != nil || !strings.HasPrefix(w.Body.String(), "3 ") {
		t.Errorf("by id: %q %v", w.Body, err)
	}
	fresh, err := b.ObjectID(context.Background(), binding.Object{Worker: "web", Class: "Counter"})
	if err != nil || len(fresh) != 64 || fresh == id {
		t.Errorf("new id %q %v", fresh, err)
	}
	_, err = ask(binding.Object{Class: "Counter", Name: "a"}, "/throw")
	asFault(t, err, fault.ThrewException)
	_, err = ask(binding.Object{Class: "Missing", Name: "a"}, "/")
	asFault(t, err, fault.NotConfigured)
}

package selvage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/selvage-edge/selvage"
	"github.com/selvage-edge/selvage/binding/analytics"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/binding/kv"
	"github.com/selvage-edge/selvage/binding/queue"
	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/binding/ratelimit"
	"github.com/selvage-edge/selvage/platform"
	"github.com/selvage-edge/selvage/selvagetest"
)

func TestEnvironmentValues(t *testing.T) {
	t.Parallel()
	type embedded struct {
		Numbers []int `binding:"NUMBERS"`
	}
	type env struct {
		embedded
		KV       *kv.Namespace            `binding:"KV"`
		DB       *d1.Database             `binding:"DB"`
		Greeting string                   `binding:"GREETING"`
		Raw      []byte                   `binding:"GREETING"`
		Limit    int                      `binding:"LIMIT"`
		Settings struct{ Depth int }      `binding:"SETTINGS"`
		Token    selvage.Secret           `binding:"TOKEN"`
		At       time.Time                `binding:"AT"`
		Other    *http.Client             `binding:"OTHER"`
		Missing  *ratelimit.Limiter       `binding:"MISSING,optional"`
		Version  struct{ ID, Tag string } `binding:"VERSION"`
		_        string                   // a field without a tag is left alone
	}
	var seen *env
	p := selvagetest.New(t, selvage.Worker("w", func(e *env) http.Handler { seen = e; return http.NotFoundHandler() },
		selvage.WithVar("GREETING", "hello"), selvage.WithVar("LIMIT", "5"), selvage.WithVar("SETTINGS", map[string]int{"depth": 3}),
		selvage.WithVar("NUMBERS", []int{1, 2}), selvage.WithSecret("TOKEN", "s3cret"), selvage.WithVar("AT", "2026-01-02T03:04:05Z"),
		selvage.WithService("OTHER", "w"), selvage.WithKV("KV", "some-id"), selvage.WithBinding("VERSION", "version_metadata", nil)))
	if seen.KV.ID() != "some-id" || seen.DB.ID() != "DB" || seen.Greeting != "hello" || string(seen.Raw) != "hello" || seen.Limit != 5 ||
		seen.Settings.Depth != 3 || fmt.Sprint(seen.Numbers) != "[1 2]" || seen.At.Year() != 2026 || seen.Missing != nil || len(seen.Version.ID) != 36 {
		t.Errorf("environment %+v", seen)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s %q", seen.Token, seen.Token, seen.Token, seen.Token, seen.Token); strings.Contains(shown, "s3cret") {
		t.Errorf("the secret shows: %s", shown)
	}
	if data, _ := json.Marshal(seen.Token); strings.Contains(string(data), "s3cret") || seen.Token.Reveal() != "s3cret" {
		t.Errorf("secret as JSON %s", data)
	}
	_ = p
}

// Everything that is wrong with the bindings is said at once, before anything
// runs.
func TestEnvironmentProblems(t *testing.T) {
	t.Parallel()
	type env struct {
		DB      *d1.Database       `binding:"DB"`
		Billing selvage.Service    `binding:"BILLING"`
		Limit   *ratelimit.Limiter `binding:"LIMIT"`
		Depth   int                `binding:"DEPTH"`
	}
	_, err := selvage.New(t.Context(), selvage.WithData(t.TempDir()),
		selvage.Worker("w", func(*env) http.Handler { t.Error("started"); return nil }, selvage.WithKV("DB", "x"), selvage.WithVar("DEPTH", "deep")))
	for _, want := range []string{
		`start Worker "w": `,
		`env.DB (*d1.Database): the binding "DB" is of type kv_namespace, which needs a field of type *kv.Namespace`,
		`env.Billing (service.Service): there is no binding "BILLING"; add it to the Worker's options: WithService("BILLING", "worker")`,
		`env.Limit (*ratelimit.Limiter): there is no binding "LIMIT"`,
		`env.Depth (int): binding "DEPTH": read the value as JSON`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nlacks %s", err, want)
		}
	}
	for _, o := range []selvage.Option{
		selvage.Worker("w", func(*int) http.Handler { return nil }),
		selvage.Worker("w", func(*struct {
			A string `binding:""`
		}) http.Handler {
			return nil
		}),
		selvage.Worker("w", func(*struct{}) http.Handler { return nil }),
		selvage.Worker("w", func(*struct{}) http.Handler { return http.NotFoundHandler() }, selvage.WithCron("* * * * *")),
		selvage.Worker("w", func(*struct{}) http.Handler { return http.NotFoundHandler() }, selvage.WithTail("x")),
		selvage.Worker("w", func(*struct{}) http.Handler { return http.NotFoundHandler() }, selvage.WithConsumer("jobs", queue.Consumer{})),
		selvage.Worker("w", func(*struct{}) http.Handler { return http.NotFoundHandler() }, selvage.WithConsumer("a b", queue.Consumer{})),
		selvage.Worker("w", func(*struct{}) http.Handler { return http.NotFoundHandler() }, selvage.WithRunner("flow")),
		selvage.Worker("w", func(*struct{}) http.Handler { return http.NotFoundHandler() }, selvage.WithRunner("a b")),
		selvage.Worker("w", func(*struct {
			Flow string `binding:"FLOW"`
		}) http.Handler {
			return nil
		}, selvage.WithWorkflow("FLOW", "flow", "w", "Flow")),
		selvage.Worker("w", func(*struct {
			Jobs *queue.Producer `binding:"JOBS"`
		}) http.Handler {
			return nil
		}, selvage.WithQueue("JOBS", "a b")),
		selvage.Worker("w", func(*struct {
			Files *r2.Bucket `binding:"FILES"`
		}) http.Handler {
			return nil
		}, selvage.WithR2("FILES", "a/b")),
		selvage.Worker("w", func(*struct {
			Views *analytics.Dataset `binding:"VIEWS"`
		}) http.Handler {
			return nil
		}, selvage.WithAnalytics("VIEWS", "a b")),
		selvage.Worker("w", func(*struct{}) http.Handler { return http.NotFoundHandler() }, selvage.WithCron("never")),
	} {
		if _, err := selvage.New(t.Context(), selvage.WithData(t.TempDir()), o); err == nil {
			t.Error("no error")
		} else {
			t.Log(err)
		}
	}
}

// What a handler learns of its request, and a Worker of the one that calls it.
func TestRequestContext(t *testing.T) {
	t.Parallel()
	type env struct {
		Other selvage.Service `binding:"OTHER"`
	}
	show := func(ctx context.Context) string {
		var cf struct{ Colo string }
		json.Unmarshal(selvage.CF(ctx), &cf)
		return fmt.Sprint(selvage.WorkerName(ctx), " ", len(selvage.Ray(ctx)), " ", cf.Colo, " ", selvage.Scheme(ctx), " ", selvage.ClientIP(ctx), " ",
			len(selvage.Version(ctx).ID), " ", string(selvage.Props(ctx)))
	}
	p := selvagetest.New(t,
		selvage.Worker("front", func(e *env) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sub, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, "https://back/", nil)
				res, err := e.Other.Client().Do(sub)
				if err != nil {
					panic(err)
				}
				defer res.Body.Close()
				fmt.Fprintln(w, show(r.Context()))
				fmt.Fprintln(w, selvage.Ray(r.Context()) == res.Header.Get("Ray"))
				io.Copy(w, res.Body)
			})
		}, selvage.WithBinding("OTHER", "service", map[string]any{"service": "back", "props": map[string]int{"n": 1}})),
		selvage.Worker("back", func(*struct{}) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Ray", selvage.Ray(r.Context()))
				io.WriteString(w, show(r.Context()))
			})
		}))
	want := "front 16 LOC http 127.0.0.1 36 \ntrue\nback 16 LOC https 127.0.0.1 36 {\"n\":1}"
	if got := p.Get("http://localhost/").Text; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A program of one's own: its mux, its listener, its logger, its shutdown.
func TestEmbed(t *testing.T) {
	t.Parallel()
	var logged strings.Builder
	ended := make(chan struct{})
	p, err := selvage.New(t.Context(),
		selvage.WithData(t.TempDir()),
		selvage.WithLogger(slog.New(slog.NewTextHandler(&logged, nil))),
		selvage.Worker("api", func(*struct{}) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				selvage.Log(r.Context()).Warn("seen", "path", r.URL.Path)
				selvage.WaitUntil(r.Context(), func(context.Context) error { close(ended); return nil })
				io.WriteString(w, "api "+r.URL.Path)
			})
		}))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/mine", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "mine") })
	mux.Handle("/", p.Handler())
	server := httptest.NewServer(mux)
	defer server.Close()
	get := func(url, want string) {
		t.Helper()
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(res.Body); string(body) != want {
			t.Errorf("%s: %q, want %q", url, body, want)
		}
	}
	get(server.URL+"/mine", "mine")
	get(server.URL+"/theirs", "api /theirs")
	<-ended

	ended = make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, l) }()
	get("http://"+l.Addr().String()+"/x", "api /x")
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if text := logged.String(); !strings.Contains(text, "msg=\"seen path=/x\"") || !strings.Contains(text, "worker=api") {
		t.Errorf("log %s", text)
	}
}

// A panic is error 1101 and a tail event; the program and the Worker go on.
func TestPanic(t *testing.T) {
	t.Parallel()
	told := make(chan selvage.Invocation, 10)
	p := selvagetest.New(t,
		selvage.Worker("api", func(*struct{}) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/panic" {
					panic("boom")
				}
			})
		}),
		selvage.Worker("watcher", func(*struct{}) http.Handler { return tailer{told} }, selvage.WithTail("api")))
	res := p.Get("http://localhost/panic")
	if res.StatusCode != http.StatusInternalServerError || !strings.Contains(res.Text, "1101") {
		t.Errorf("%d %s", res.StatusCode, res.Text)
	}
	if i := <-told; i.ScriptName != "api" || i.Outcome != "exception" || i.Exceptions[0].Message != "boom" || !strings.Contains(i.Exceptions[0].Stack, "selvage_test.go") {
		t.Errorf("told %+v", i)
	}
	if res := p.Get("http://localhost/"); res.StatusCode != http.StatusOK {
		t.Errorf("afterwards %d", res.StatusCode)
	}
	if w := p.Workers(); w[0].Worker != "api" || w[0].Total != 2 || w[0].Exceptions != 1 || w[0].InFlight != 0 {
		t.Errorf("Workers %+v", w)
	}
}

type tailer struct{ told chan selvage.Invocation }

func (tailer) ServeHTTP(http.ResponseWriter, *http.Request) {}

func (t tailer) Tail(_ context.Context, events []selvage.Invocation) error {
	for _, e := range events {
		t.told <- e
	}
	return nil
}

// One program runs as a server, too: `serve` makes what the embedded project
// names, and the Workers call each other both ways.
func TestProjectAndWorker(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"site/wrangler.toml": {Data: []byte(`name = "site"
main = "index.js"
compatibility_date = "2026-01-01"
kv_namespaces = [{ binding = "KV", id = "shared" }]
services = [{ binding = "API", service = "api" }]
`)},
		"site/index.js": {Data: []byte(`export default { async fetch(request, env) {
  if (new URL(request.url).pathname === "/back") return new Response("site saw " + request.headers.get("X-From"));
  await env.KV.put("k", "from js");
  return env.API.fetch("http://api/forward");
} }`)},
	}
	type env struct {
		KV   *kv.Namespace   `binding:"KV"`
		Site selvage.Service `binding:"SITE"`
	}
	p := selvagetest.New(t,
		selvage.WithPlatform(func(o *platform.Options) { o.CreateMissing = false }), // as serve has it
		selvage.Project(files, "site"),
		selvage.Worker("api", func(e *env) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				value, err := e.KV.Get(r.Context(), "k")
				if err != nil {
					panic(err)
				}
				back, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://site/back", nil)
				back.Header.Set("X-From", selvage.WorkerName(r.Context()))
				res, err := e.Site.RoundTrip(back)
				if err != nil {
					panic(err)
				}
				defer res.Body.Close()
				fmt.Fprintf(w, "kv %s; ", value)
				io.Copy(w, res.Body)
			})
		}, selvage.WithKV("KV", "shared"), selvage.WithService("SITE", "site")))
	if got := p.Get("http://localhost/"); got.Text != "kv from js; site saw api" {
		t.Errorf("%d %s", got.StatusCode, got.Text)
	}
}

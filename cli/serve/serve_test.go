package serve

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/cli/settings"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/platform"
)

func answers(text string) string {
	return fmt.Sprintf(`export default { fetch() { return new Response(%q) } }`, text)
}

// 200 requests a second go on through 50 deployments; none fails, and the one
// after a deployment is answered by its version. One cell is left, and at most
// one more that drains.
func TestNoRequestIsLostWhileDeploying(t *testing.T) {
	for _, previews := range []bool{false, true} {
		t.Run(fmt.Sprintf("previews=%t", previews), func(t *testing.T) { deployUnderLoad(t, previews) })
	}
}

func deployUnderLoad(t *testing.T, previews bool) {
	const rate, deployments = 200, 50
	r := start(t, testSettings(t.TempDir()), Options{})
	r.deploy("web", answers("v0"), nil)
	r.previews("web", previews)
	r.want("web", "/", 200, "v0")
	var sent, failed atomic.Int64
	var firstFailure atomic.Pointer[string]
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			sent.Add(1)
			all.Go(func() {
				status, body, err := r.ask("web", "GET", "/", nil)
				if err != nil || status != 200 || !strings.HasPrefix(body, "v") {
					failed.Add(1)
					text := fmt.Sprint(status, " ", body, " ", err)
					firstFailure.CompareAndSwap(nil, &text)
				}
			})
		}
	})
	begin := time.Now()
	for n := 1; n <= deployments; n++ {
		if err := r.upload("web", answers(fmt.Sprintf("v%d", n)), nil); err != nil {
			t.Error(err)
			break
		}
		r.want("web", "/", 200, fmt.Sprintf("v%d", n))
		if running, draining := r.cells("running"), r.cells("draining"); running != 1 || draining > 1 {
			t.Errorf("after deployment %d there are %d cells running and %d draining", n, running, draining)
		}
	}
	took := time.Since(begin)
	close(stop)
	all.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed; the first: %s", n, sent.Load(), *firstFailure.Load())
	}
	t.Logf("%d deployments in %v, %d requests", deployments, took.Round(time.Millisecond), sent.Load())
}

// A server that is killed at any moment of a deployment comes back with the
// last deployment it acknowledged, or with the one that was under way.
func TestKillWhileDeploying(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	token := makeToken(t, dir)
	r := spawn(t, dir, token)
	r.deploy("web", answers("v0"), nil)
	acknowledged, tried := 0, 0
	for range 10 {
		kill := time.AfterFunc(time.Duration(random.IntN(400))*time.Millisecond, r.kill)
		for {
			tried++
			if err := r.upload("web", answers(fmt.Sprintf("v%d", tried)), nil); err != nil {
				break
			}
			acknowledged = tried
		}
		kill.Stop()
		r.kill()
		r = spawn(t, dir, token)
		_, body, err := r.ask("web", "GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := strconv.Atoi(strings.TrimPrefix(body, "v"))
		if err != nil || got < acknowledged || got > tried {
			t.Fatalf("after a kill %q answers; v%d was acknowledged, v%d tried", body, acknowledged, tried)
		}
		acknowledged, tried = got, got
	}
	t.Logf("%d deployments", tried)
	if err := r.stop(); err != nil {
		t.Error("SIGTERM:", err)
	}
}

// A restart brings every deployment back, with secrets and Durable Objects.
func TestRestart(t *testing.T) {
	s := testSettings(t.TempDir())
	r := start(t, s, Options{})
	r.deploy("secret", `export default { fetch(r, env) { return new Response(env.S) } }`,
		map[string]any{"bindings": []any{map[string]any{"type": "secret_text", "name": "S", "text": "hush"}}})
	r.deploy("counter", `import { DurableObject } from "cloudflare:workers";
export class C extends DurableObject { async next() { const n = (await this.ctx.storage.get("n") ?? 0) + 1; await this.ctx.storage.put("n", n); return n } }
export default { async fetch(r, env) { return new Response(String(await env.C.get(env.C.idFromName("x")).next())) } }`,
		map[string]any{
			"bindings":   []any{map[string]any{"type": "durable_object_namespace", "name": "C", "class_name": "C"}},
			"migrations": map[string]any{"new_tag": "v1", "steps": []any{map[string]any{"new_sqlite_classes": []string{"C"}}}},
		})
	r.want("counter", "/", 200, "1")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = start(t, s, Options{})
	r.want("secret", "/", 200, "hush")
	r.want("counter", "/", 200, "2")
}

// The process of a Worker is confined; so says the kernel.
func TestCellsAreConfined(t *testing.T) {
	r := start(t, testSettings(t.TempDir()), Options{})
	r.deploy("web", answers("hi"), nil)
	r.want("web", "/", 200, "hi")
	own := fmt.Sprintf("PPid:\t%d\n", os.Getpid())
	found := 0
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		status, err := os.ReadFile("/proc/" + e.Name() + "/status")
		if err != nil || !strings.Contains(string(status), own) || !strings.HasPrefix(string(status), "Name:\tworkerd\n") {
			continue
		}
		found++
		for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"} {
			if !strings.Contains(string(status), want+"\n") {
				got := regexp.MustCompile(`(?m)^` + strings.Split(want, ":")[0] + `:.*$`).FindString(string(status))
				t.Errorf("process %s: %s, want %s", e.Name(), got, want)
			}
		}
	}
	if found == 0 {
		t.Fatal("no cell found")
	}
}

// What a request uses beyond its limits ends with Cloudflare's error.
func TestLimits(t *testing.T) {
	s := testSettings(t.TempDir())
	s.MaxBody, s.MaxWall, s.MaxMemory = 1<<20, 5*time.Second, 192<<20
	r := start(t, s, Options{})
	r.deploy("web", `export default { async fetch(r) {
  switch (new URL(r.url).pathname) {
  case "/spin": for (;;);
  case "/wait": await scheduler.wait(60_000); break;
  case "/throw": throw new Error("boom");
  case "/many": for (let n = 0; n < 100; n++) await caches.default.match("http://x/"); break;
  case "/read": return new Response(String((await r.arrayBuffer()).byteLength));
  }
  return new Response("ok");
} }`, map[string]any{"limits": map[string]any{"cpu_ms": 50, "subrequests": 99}})
	r.want("web", "/", 200, "ok")
	r.want("web", "/throw", 500, "error code: 1101")
	next := r.tail("web")
	r.want("web", "/spin", 503, "error code: 1102\nWorker exceeded resource limits")
	if i := next(); i.Outcome != "exceededCpu" || i.Exceptions[0].Message != "Worker exceeded CPU time limit." {
		t.Errorf("the tail shows %+v", i)
	}
	r.want("web", "/many", 500, "error code: 1101")
	if i := next(); i.Outcome != "exception" || !strings.HasPrefix(i.Exceptions[0].Message, "Too many subrequests by single Worker invocation.") {
		t.Errorf("the tail shows %+v", i)
	}
	r.deploy("greedy", `const all = [];
export default { fetch(r) { if (r.url.endsWith("/grow")) for (;;) all.push(new Uint8Array(1e6).fill(1)); return new Response("ok") } }`, nil)
	next = r.tail("greedy")
	r.want("greedy", "/grow", 503, "error code: 1102\nWorker exceeded resource limits")
	if i := next(); i.Outcome != "exceededMemory" || i.Exceptions[0].Message != "Worker exceeded memory limit." {
		t.Errorf("the tail shows %+v", i)
	}
	r.want("web", "/wait", 524, "A timeout occurred")
	for _, c := range []struct {
		name   string
		body   func() *strings.Reader
		length bool
		bytes  int
		status int
		text   string
	}{
		{"below", nil, true, 1 << 20, 200, "1048576"},
		{"above", nil, true, 1<<20 + 1, 413, "Payload too large"},
		{"below, without a length", nil, false, 1 << 20, 200, "1048576"},
		{"above, without a length", nil, false, 1<<20 + 1, 413, "Payload too large"},
	} {
		req, err := http.NewRequest("POST", r.edge+"/read", strings.NewReader(strings.Repeat("x", c.bytes)))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "web.localhost"
		if !c.length {
			req.ContentLength = -1
		}
		res, err := r.client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		body := make([]byte, 1000)
		n, _ := res.Body.Read(body)
		res.Body.Close()
		if res.StatusCode != c.status || !strings.Contains(string(body[:n]), c.text) {
			t.Errorf("%s: %d %q, want %d %q", c.name, res.StatusCode, body[:n], c.status, c.text)
		}
	}
}

// A response that never ends does not keep a server from stopping in time, nor
// make stopping a failure.
func TestStoppingCutsOffWhatDoesNotEnd(t *testing.T) {
	c := testSettings(t.TempDir())
	c.DrainTimeout = 500 * time.Millisecond
	r := start(t, c, Options{})
	r.deploy("endless", `export default { fetch() {
		return new Response(new ReadableStream({ async pull(c) { await scheduler.wait(10); c.enqueue(new TextEncoder().encode("more\n")); } }));
	} }`, nil)
	req, err := http.NewRequest("GET", r.edge, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "endless.localhost"
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	if !strings.Contains(r.screen.String(), platform.ErrCutOff.Error()) {
		t.Error("the log does not say that something was cut off")
	}
}

func TestAdmin(t *testing.T) {
	s := testSettings(t.TempDir())
	s.AdminInsecure = true // everyone may seem to be loopback: metrics need a token
	r := start(t, s, Options{})
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := r.get(path, ""); status != 200 || body != "ok\n" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	if status, _ := r.get("/", ""); status != 404 {
		t.Errorf("/: %d", status)
	}
	r.deploy("web", answers("hi"), nil)
	r.want("web", "/", 200, "hi")
	r.want("nobody", "/", 404, "nobody.localhost")
	for _, token := range []string{"", "wrong"} {
		if status, _ := r.get("/metrics", token); status != 401 {
			t.Errorf("metrics with the token %q: %d", token, status)
		}
	}
	status, text := r.get("/metrics", r.token)
	if status != 200 {
		t.Fatalf("metrics: %d", status)
	}
	for _, want := range []string{
		`selvage_requests_total{status="2xx",worker="web"} 1`,
		`selvage_request_errors_total{code="1104",worker=""} 1`,
		`selvage_request_duration_seconds_count{worker="web"} 1`,
		`selvage_cells{state="running"} 1`,
		`selvage_queue_depth{pool="cell starts"} 0`,
		`selvage_queue_depth{pool="d1 connections"} 0`,
		`selvage_queue_depth{pool="kv writes"} 0`,
		`selvage_queue_depth{pool="internal requests"} 0`,
		`selvage_cell_starts_total 1`,
		`selvage_deployed_workers 1`,
		`process_open_fds`, `go_goroutines`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// A page in a browser of this machine cannot read the metrics under a name that
// was made to lead here, and no path is answered with a redirect.
func TestAdminAsksWhoseHostItIs(t *testing.T) {
	r := start(t, testSettings(t.TempDir()), Options{})
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(path, host string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	for host, want := range map[string]int{
		"localhost": 200, "127.0.0.1:9000": 200, "[::1]:9000": 200, "admin.localhost:1": 200, "LOCALHOST.": 200,
		"rebound.example": 401, "rebound.example:8081": 401, "localhost.example": 401, "notlocalhost": 401,
	} {
		if got := ask("/metrics", host); got != want {
			t.Errorf("metrics for the host %s: %d, want %d", host, got, want)
		}
	}
	for path, want := range map[string]int{
		"//evil.example/": 404, "/./metrics": 404, "//metrics": 404, "/client/v4": 404, "/debug/pprof": 404, "/x/../metrics": 404,
		"/metrics/": 404, "/client/v4//user": 400, "/healthz": 200,
	} {
		if got := ask(path, "localhost"); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// Profiles are for a token that may do everything, even from this machine.
func TestProfiles(t *testing.T) {
	s := testSettings(t.TempDir())
	limited := makeToken(t, s.Data, "account:edit", "workers_scripts:edit")
	r := start(t, s, Options{})
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/pprof/profile", "/debug/pprof/trace"} {
		for _, token := range []string{"", limited} {
			if status, text := r.get(path, token); status != 401 || !strings.Contains(text, "scope *") {
				t.Errorf("%s with the token %q: %d %q", path, token, status, text)
			}
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline"} {
		if status, text := r.get(path, r.token); status != 200 || text == "" {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// SIGHUP brings a changed file into force, as far as that can be, and a broken
// one changes nothing.
func TestReload(t *testing.T) {
	next := testSettings(t.TempDir())
	hangup := make(chan os.Signal)
	var problem atomic.Pointer[error]
	r := start(t, next, Options{Reload: hangup, Load: func() (*settings.Settings, error) {
		if err := problem.Load(); err != nil {
			return nil, *err
		}
		s := *next
		s.MaxBody, s.Zones, s.MaxMemory = 10, []string{"example.com"}, 1<<30
		return &s, nil
	}})
	r.deploy("web", `export default { async fetch(r) { return new Response(await r.text()) } }`, nil)
	post := func() int {
		status, _, err := r.ask("web", "POST", "/", strings.NewReader("eleven byte"))
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if status := post(); status != 200 {
		t.Fatal(status)
	}
	broken := error(settings.Problems{{File: "selvage.toml", Message: "broken"}})
	problem.Store(&broken)
	hangup <- syscall.SIGHUP
	poll.Until(t, "the broken file is reported", func() bool { return strings.Contains(r.screen.String(), "configuration not reloaded") })
	if status := post(); status != 200 {
		t.Fatal(status)
	}
	problem.Store(nil)
	hangup <- syscall.SIGHUP
	poll.Until(t, "the file is in force", func() bool {
		return strings.Contains(r.screen.String(), "some changes need a restart\" keys=[limits.memory]")
	})
	if status := post(); status != 413 {
		t.Errorf("a body beyond the new limit: %d", status)
	}
	if _, text := r.get("/client/v4/zones", r.token); !strings.Contains(text, `"name":"example.com"`) {
		t.Errorf("the zone was not added: %s", text)
	}
}

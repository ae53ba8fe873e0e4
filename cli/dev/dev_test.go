package dev

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/selvage-edge/selvage/internal/poll"
)

// screen collects what dev prints.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// running is a development server under test.
type running struct {
	t      *testing.T
	dir    string
	url    string
	screen *screen
	client *http.Client
	stop   func() error
}

// start writes the files of a txtar archive and runs the projects in it.
func start(t *testing.T, archive string, change func(*Options)) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir(), screen: &screen{}, client: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		r.write(f.Name, string(f.Data))
	}
	o := Options{
		Projects: []string{r.dir}, Address: "127.0.0.1", Data: filepath.Join(t.TempDir(), "data"),
		Observe: true, Stdout: r.screen, Stderr: r.screen,
	}
	if change != nil {
		change(&o)
		for i, p := range o.Projects {
			if !filepath.IsAbs(p) {
				o.Projects[i] = filepath.Join(r.dir, p)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("dev ended with %v", err)
		}
		r.client.CloseIdleConnections()
		if t.Failed() {
			t.Logf("printed:\n%s", r.screen)
		}
	})
	r.until("Ready on", func() bool {
		_, rest, ok := strings.Cut(r.screen.String(), "Ready on ")
		r.url, _, _ = strings.Cut(rest, "\n")
		return ok && strings.Contains(rest, "\n")
	})
	return r
}

func (r *running) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// until waits for something that happens on its own.
func (r *running) until(what string, ok func() bool) {
	r.t.Helper()
	if !poll.Within(poll.Patience, ok) {
		r.t.Fatalf("never happened: %s; printed:\n%s", what, r.screen)
	}
}

func (r *running) get(path string) (status int, body string) {
	r.t.Helper()
	res, err := r.client.Get(r.url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(text)
}

func (r *running) expect(path string, status int, text string) {
	r.t.Helper()
	if gotStatus, got := r.get(path); gotStatus != status || !strings.Contains(got, text) {
		r.t.Errorf("GET %s = %d %q, want %d with %q", path, gotStatus, got, status, text)
	}
}

func (r *running) printed(text string) {
	r.t.Helper()
	r.until("printed "+text, func() bool { return strings.Contains(r.screen.String(), text) })
}

const hello = `
-- wrangler.jsonc --
{"name": "hello", "main": "src/index.ts", "compatibility_date": "2026-11-01", "vars": {"WHO": "world"}}
-- .dev.vars --
SECRET="hush"
-- src/index.ts --
import { greet } from "./greet";
interface Env { WHO: string; SECRET: string }
export default {
  async fetch(request: Request, env: Env, ctx: { waitUntil(p: Promise<unknown>): void }): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/log") console.log("a line", { n: 1 });
    if (pathname === "/throw") {
      throw new Error("on purpose");
    }
    if (pathname === "/later") ctx.waitUntil(Promise.reject(new Error("later on purpose")));
    if (pathname === "/secret") return new Response(env.SECRET);
    return new Response(greet(env.WHO));
  },
  async scheduled(controller: { cron: string }) {
    if (controller.cron === "bad") throw new Error("cron on purpose");
    console.log("tick", controller.cron);
  },
};
-- src/greet.ts --
export const greet = (who: string): string => "hello " + who;
`

func TestRunAndReload(t *testing.T) {
	r := start(t, hello, func(o *Options) { o.Vars = map[string]string{"WHO": "you"} })
	r.expect("/", 200, "hello you") // --var wins over vars
	r.expect("/secret", 200, "hush")

	r.write("src/greet.ts", `export const greet = (who: string): string => "goodbye " + who;`)
	r.until("reloaded", func() bool { _, text := r.get("/"); return text == "goodbye you" })

	// A build that fails leaves the last one running, and says where.
	r.write("src/greet.ts", "export const greet = (who: string): string => \"broken\n")
	r.printed("greet.ts:1:")
	r.expect("/", 200, "goodbye you")

	// So does a Worker that does not start.
	r.write("src/greet.ts", "export const greet = () => 1;\nthrow new Error('at start');")
	r.printed("at start")
	r.printed("greet.ts:2")

	r.write("src/greet.ts", `export const greet = () => "well again";`)
	r.until("reloaded", func() bool { _, text := r.get("/"); return text == "well again" })

	r.write("wrangler.jsonc", `{"name": "hello", "main": "src/index.ts", "compatibility_date": "2026-11-01", "vars": {"WHO": "world"}, "colour": 1}`)
	r.printed(`colour`)
}

func TestLogsAndErrors(t *testing.T) {
	r := start(t, hello, nil)
	r.expect("/log", 200, "hello world")
	r.printed("a line { n: 1 }")
	r.expect("/throw", 500, "1101")
	r.printed("Uncaught Error: on purpose")
	r.printed("src/index.ts:8") // mapped to the line of the source
	r.expect("/later", 200, "hello")
	r.printed("Uncaught Error: later on purpose")
	if n := strings.Count(r.screen.String(), "Uncaught"); n != 2 {
		t.Errorf("%d exceptions are printed, want 2", n)
	}
}

// Bodies of every size, read by the Worker or not, leave the connection as it
// should be.
func TestPosts(t *testing.T) {
	r := start(t, `
-- wrangler.jsonc --
{"name": "posts", "main": "index.js", "compatibility_date": "2026-11-01"}
-- index.js --
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    return new Response(request.method + " " + (pathname === "/read" ? (await request.text()).length : "unread"));
  }
}
`, nil)
	for _, size := range []int{0, 1, 100, 3000, 4096, 20_000, 200_000} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			for path, want := range map[string]string{"/read": fmt.Sprint(method, " ", size), "/unread": method + " unread"} {
				for _, chunked := range []bool{false, true} {
					var body io.Reader = strings.NewReader(strings.Repeat("x", size))
					if chunked {
						body = io.MultiReader(body)
					}
					req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, body)
					if err != nil {
						t.Fatal(err)
					}
					res, err := r.client.Do(req)
					if err != nil {
						t.Fatalf("%s %s with %d bytes: %v", method, path, size, err)
					}
					text, err := io.ReadAll(res.Body)
					res.Body.Close()
					if string(text) != want || err != nil {
						t.Errorf("%s %s with %d bytes: %q, %v", method, path, size, text, err)
					}
				}
			}
		}
	}
}

// wrangler dev does not read cron expressions; a deployment refuses what is none.
func TestWrongCron(t *testing.T) {
	r := start(t, strings.Replace(hello, `"compatibility_date"`, `"triggers": {"crons": ["* * * * *", "61 * * * *"]}, "compatibility_date"`, 1), nil)
	r.printed(`triggers.crons[1]: cron expression "61 * * * *": minute: "61" is not a value from 0 to 59; a deployment of it is refused`)
	r.expect("/", 200, "")
}

func TestScheduledByHand(t *testing.T) {
	r := start(t, hello, nil)
	r.expect("/cdn-cgi/handler/scheduled?cron=*+*+*+*+*", 200, "ok")
	r.printed("tick * * * * *")
	r.expect("/cdn-cgi/handler/scheduled?cron=bad", 500, "exception")
	r.printed("cron on purpose")
	r.expect("/cdn-cgi/handler/scheduled?format=json", 200, `{"noRetry":false,"outcome":"ok"}`)
	r.expect("/cdn-cgi/handler/scheduled?time=noon", 400, "")
	for _, path := range []string{"/cdn-cgi/local/scheduled", "/cdn-cgi/mf/scheduled"} { // of wrangler 4.164 and of old ones
		r.expect(path+"?cron=0+3+*+*+*", 200, "ok")
		r.printed("tick 0 3 * * *")
	}
	r.expect("/__scheduled?cron=1+2+*+*+*", 200, "hello") // the Worker's own path
	r = start(t, hello, func(o *Options) { o.TestScheduled = true })
	r.expect("/__scheduled?cron=1+2+*+*+*", 200, "Ran scheduled event")
	r.printed("tick 1 2 * * *")
	r.expect("/__scheduled?cron=bad", 500, "exception")
}

func TestFirstBuildFails(t *testing.T) {
	r := start(t, `
-- wrangler.toml --
name = "broken"
main = "index.js"
compatibility_date = "2026-11-01"
-- index.js --
export default { fetch( { return new Response("fine") } };
`, nil)
	r.expect("/", 503, "the build failed")
	r.write("index.js", `export default { fetch() { return new Response("fine") } };`)
	r.until("built", func() bool { status, text := r.get("/"); return status == 200 && text == "fine" })
}

// What the runtime does not have at the date comes from wrangler's packages:
// modules, the process that Astro does not take for Node.js's, and debug as
// Next.js requires it.
func TestNodeFilledIn(t *testing.T) {
	r := start(t, `
-- wrangler.jsonc --
{"name": "node", "main": "index.js", "compatibility_date": "2025-10-08", "compatibility_flags": ["nodejs_compat"]}
-- index.js --
import tty from "node:tty";
import { execFile } from "child_process";
import { AsyncLocalStorage } from "node:async_hooks";
import bare from "process";
import debug from "debug";
export default {
  fetch() {
    const als = new AsyncLocalStorage();
    return Response.json([
      tty.isatty(1), typeof execFile, als.run("in store", () => als.getStore()),
      Object.prototype.toString.call(process), bare === process, debug("x"),
    ]);
  },
};
-- node_modules/debug/package.json --
{"name": "debug", "main": "./node.js", "browser": "./browser.js"}
-- node_modules/debug/node.js --
const tty = require("tty"), { inspect } = require("util"), os = require("node:os");
module.exports = (name) => [name, tty.isatty(2), inspect({ a: 1 }), os.EOL].join(" ");
-- node_modules/debug/browser.js --
module.exports = () => "for browsers";
`, nil)
	r.expect("/", 200, `[false,"function","in store","[object Object]",true,"x false { a: 1 } \n"]`)
}

func TestServiceTargetsBelowTheProject(t *testing.T) {
	r := start(t, `
-- wrangler.jsonc --
{"name": "front", "main": "index.js", "compatibility_date": "2026-11-01", "services": [{"binding": "BACK", "service": "back"}]}
-- index.js --
export default { async fetch(request, env) { return new Response("front and " + await (await env.BACK.fetch(request)).text()) } };
-- behind/wrangler.jsonc --
{"name": "back", "main": "index.js", "compatibility_date": "2026-11-01"}
-- behind/index.js --
export default { fetch() { return new Response("back") } };
`, nil)
	r.expect("/", 200, "front and back")
	r.write("behind/index.js", `export default { fetch() { return new Response("new back") } };`)
	r.until("the other Worker is reloaded, too", func() bool { _, text := r.get("/"); return text == "front and new back" })
}

func TestClassesOfOtherProjects(t *testing.T) {
	r := start(t, `
-- front/wrangler.jsonc --
{"name": "front", "main": "index.js", "compatibility_date": "2026-11-01",
 "durable_objects": {"bindings": [{"name": "ROOM", "class_name": "Room", "script_name": "hotel"}]}}
-- front/index.js --
export default { async fetch(request, env) {
  const room = env.ROOM.getByName("a");
  if (request.headers.get("Upgrade")) return room.fetch(request);
  return new Response(await room.say("front") + ", " + await (await room.fetch("https://room/")).text());
} };
-- hotel/wrangler.jsonc --
{"name": "hotel", "main": "index.js", "compatibility_date": "2026-11-01",
 "durable_objects": {"bindings": [{"name": "ROOM", "class_name": "Room"}]},
 "migrations": [{"tag": "v1", "new_sqlite_classes": ["Room"]}]}
-- hotel/index.js --
import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  async say(who) { const n = (await this.ctx.storage.get("n") ?? 0) + 1; await this.ctx.storage.put("n", n); return who + " " + n }
  async fetch(request) {
    if (!request.headers.get("Upgrade")) return new Response(await this.say("fetch"));
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }
  async webSocketMessage(socket, text) { socket.send(await this.say(text)) }
}
export default { async fetch(request, env, ctx) { return new Response(await ctx.exports.Room.getByName("a").say("exports")) } };
`, func(o *Options) { o.Projects = []string{"front", "hotel"} })
	r.expect("/", 200, "front 1, fetch 2")
	if strings.Contains(r.screen.String(), "script_name") {
		t.Errorf("printed %s", r.screen)
	}
	if _, _, text := r.ask(r.client, "/", "hotel.localhost"); text != "exports 3" {
		t.Errorf("ctx.exports: %q", text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, r.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte("socket")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := conn.Read(ctx); err != nil || string(text) != "socket 4" {
		t.Errorf("WebSocket: %q, %v", text, err)
	}
	source, err := os.ReadFile(filepath.Join(r.dir, "hotel/index.js"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("hotel/index.js", strings.Replace(string(source), `who + " "`, `"new " + who + " "`, 1))
	r.until("the other Worker is reloaded, too", func() bool { _, text := r.get("/"); return strings.HasPrefix(text, "new front") })
	if _, text := r.get("/"); !strings.HasPrefix(text, "new front ") || strings.HasPrefix(text, "new front 1,") {
		t.Errorf("the objects are lost: %q", text)
	}
}

func TestTransferredClasses(t *testing.T) {
	const room = `import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  async next() { const n = (await this.ctx.storage.get("n") ?? 0) + 1; await this.ctx.storage.put("n", n); return n }
}
export { Room as Suite };
export default { async fetch(request, env) { return new Response("room " + await env.ROOM.getByName("a").next()) } };
`
	const inn = `{"name": "inn", "main": "index.js", "compatibility_date": "2026-11-01",
 "durable_objects": {"bindings": [{"name": "ROOM", "class_name": "Suite"}]},
 "migrations": [{"tag": "v1", `
	r := start(t, `
-- hotel/wrangler.jsonc --
{"name": "hotel", "main": "index.js", "compatibility_date": "2026-11-01",
 "durable_objects": {"bindings": [{"name": "ROOM", "class_name": "Room"}]},
 "migrations": [{"tag": "v1", "new_sqlite_classes": ["Room"]}]}
-- hotel/index.js --
`+room+`
-- inn/wrangler.jsonc --
`+inn+`"new_classes": ["Suite"]}]}
-- inn/index.js --
`+room, func(o *Options) { o.Projects = []string{"hotel", "inn"} })
	count := func(worker string) (n int) {
		_, _, text := r.ask(r.client, "/", worker+".localhost")
		fmt.Sscanf(text, "room %d", &n)
		return n
	}
	if one, two, three := count("hotel"), count("hotel"), count("inn"); one != 1 || two != 2 || three != 1 {
		t.Fatalf("before: %d, %d, %d", one, two, three)
	}
	r.write("inn/wrangler.jsonc", inn+`"transferred_classes": [{"from": "Room", "from_script": "hotel", "to": "Suite"}]}]}`)
	r.printed("Reloaded")
	if one, two, three := count("inn"), count("hotel"), count("inn"); one != 3 || two != 4 || three != 5 {
		t.Errorf("after: %d, %d, %d", one, two, three)
	}
}

func TestRoutesOfRunningProjects(t *testing.T) {
	r := start(t, `
-- front/wrangler.jsonc --
{"name": "front", "main": "index.js", "compatibility_date": "2026-11-01"}
-- front/index.js --
export default { async fetch(request) {
  const to = new URL(request.url).searchParams.get("to");
  return new Response(await (await fetch(to)).text());
} };
-- api/wrangler.jsonc --
{"name": "api", "main": "index.js", "compatibility_date": "2026-11-01", "routes": [
  "api.example.invalid/v1/*", {"pattern": "shop.example.invalid", "custom_domain": true}]}
-- api/index.js --
export default { fetch(request) { return new Response("api " + request.url + " from " + request.headers.get("CF-Worker")) } };
`, func(o *Options) { o.Projects = []string{"front", "api"} })
	for _, to := range []string{"https://api.example.invalid/v1/x", "http://shop.example.invalid/any"} {
		r.expect("/?to="+url.QueryEscape(to), 200, "api "+to+" from ")
	}
	r.write("api/wrangler.jsonc", `{"name": "api", "main": "index.js", "compatibility_date": "2026-11-01", "route": "moved.example.invalid/*"}`)
	r.until("the routes are read again", func() bool {
		_, text := r.get("/?to=https://moved.example.invalid/")
		return strings.HasPrefix(text, "api https://moved.example.invalid/")
	})
}

func TestHTTPS(t *testing.T) {
	r := start(t, hello, func(o *Options) { o.HTTPS = true })
	if !strings.HasPrefix(r.url, "https://") {
		t.Fatalf("serves %s", r.url)
	}
	r.expect("/", 200, "hello world")
}

func TestPortInUse(t *testing.T) {
	r := start(t, hello, nil)
	var port int
	fmt.Sscanf(r.url[strings.LastIndex(r.url, ":")+1:], "%d", &port)
	err := Run(context.Background(), Options{
		Projects: []string{r.dir}, Address: "127.0.0.1", Port: port, Data: t.TempDir(), Stdout: io.Discard, Stderr: io.Discard,
	})
	if err == nil || !strings.Contains(err.Error(), "--port") {
		t.Errorf("second server on the port: %v, want an error that names --port", err)
	}
}

func TestInspector(t *testing.T) {
	r := start(t, hello, func(o *Options) { o.Inspect, o.AllowHosts = "127.0.0.1:0", []string{"tunnel.example"} })
	r.printed("DevTools can attach at ")
	_, address, _ := strings.Cut(r.screen.String(), "DevTools can attach at ")
	address, _, _ = strings.Cut(address, ": ")
	res, err := http.Get("http://" + address + "/json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var targets []struct{ WebSocketDebuggerURL string }
	if err := json.NewDecoder(res.Body).Decode(&targets); err != nil || len(targets) != 1 {
		t.Fatalf("targets %v, %v", targets, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, targets[0].WebSocketDebuggerURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	// DevTools learns the Worker's sources from the debugger.
	if err := c.Write(ctx, websocket.MessageText, []byte(`{"id": 1, "method": "Debugger.enable"}`)); err != nil {
		t.Fatal(err)
	}
	for parsed := false; !parsed; {
		_, message, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		parsed = strings.Contains(string(message), "Debugger.scriptParsed") && strings.Contains(string(message), "index.js")
	}
	for _, c := range []struct {
		host, origin string
		want         int
	}{
		{"localhost:9229", "", 200},
		{"[::1]:9229", "devtools://devtools", 200},
		{"tunnel.example", "", 200},
		{"", "https://devtools.devprod.cloudflare.dev", 200},
		{"", "https://ab12-cloudflare-devtools.devprod.workers.dev", 200},
		{"", "http://localhost:8000", 200},
		{"", "http://127.0.0.1:8000", 200},
		{"rebound.example:9229", "", 403},
		{"rebound.example", "devtools://devtools", 403},
		{"", "https://evil.example", 403},
		{"", "http://203.0.113.5", 403},
		{"", "null", 403},
		{"tunnel.example", "https://tunnel.example", 403},
		{"", "https://devtools.devprod.cloudflare.dev.evil.example", 403},
		{"", "http://devtools.devprod.cloudflare.dev", 403},
		{"", "https://evil.example/cloudflare-devtools.pages.dev", 403},
		{"", "chrome-extension://localhost", 403},
	} {
		request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/json", nil)
		request.Host = c.host
		if c.origin != "" {
			request.Header.Set("Origin", c.origin)
		}
		res, err := http.DefaultClient.Do(request)
		if err != nil || res.StatusCode != c.want {
			t.Fatalf("a page of %q at %q: %v %v", c.origin, c.host, res, err)
		}
		res.Body.Close()
		ws, _, err := websocket.Dial(ctx, targets[0].WebSocketDebuggerURL, &websocket.DialOptions{Host: c.host, HTTPHeader: request.Header})
		if (err == nil) != (c.want == 200) {
			t.Errorf("a page of %q attaches at %q: %v", c.origin, c.host, err)
		}
		if err == nil {
			ws.CloseNow()
		}
	}
}

package engine

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/internal/poll"
)

// A WebSocket stays with the old version, which lives until it is closed; new
// requests go to the new one.
func TestWebSocketOutlivesSwap(t *testing.T) {
	b := newBench(t, func(o *Options) { o.DrainTimeout = 30 * time.Second })
	source := `export default { fetch(r) {
  if (r.headers.get("Upgrade") !== "websocket") return new Response("%[1]s");
  const [client, server] = Object.values(new WebSocketPair());
  server.accept();
  server.addEventListener("message", (e) => server.send("%[1]s " + e.data));
  server.addEventListener("close", (e) => server.close(e.code));
  return new Response(null, { status: 101, webSocket: client });
} }`
	b.deploy(b.version("ws", fmt.Sprintf(source, "one")))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(b.server.URL, "http")+"/ws/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	echo := func(want string) {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != want {
			t.Fatalf("%q, %v", got, err)
		}
	}
	echo("one hi")
	b.deploy(b.version("ws", fmt.Sprintf(source, "two")))
	if err := b.Start(ctx, "ws"); err != nil {
		t.Fatal(err)
	}
	b.want("/ws/", "two")
	echo("one hi")
	conn.Close(websocket.StatusNormalClosure, "")
	poll.Until(t, "the old cell ends", func() bool { return len(b.Cells()) == 1 })
}

// A WebSocket that outlives the drain time is closed with code 1012.
func TestWebSocketAfterTheDrainTime(t *testing.T) {
	b := newBench(t, func(o *Options) { o.DrainTimeout = 300 * time.Millisecond })
	source := `export default { fetch() {
  const [client, server] = Object.values(new WebSocketPair());
  server.accept();
  server.send("%s");
  return new Response(null, { status: 101, webSocket: client });
} }`
	b.deploy(b.version("ws", fmt.Sprintf(source, "one")))
	ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
	defer cancel()
	dial := func(want string) *websocket.Conn {
		t.Helper()
		conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(b.server.URL, "http")+"/ws/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != want {
			t.Fatalf("%q, %v", got, err)
		}
		return conn
	}
	conn := dial("one")
	defer conn.CloseNow()
	b.deploy(b.version("ws", fmt.Sprintf(source, "two")))
	if err := b.Start(ctx, "ws"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the WebSocket of the old version ended with %v", err)
	}
	dial("two").CloseNow()
}

// So is one that leads there through other Workers, however many.
func TestWebSocketThroughCallers(t *testing.T) {
	for name, callee := range map[string]string{
		"fetch": `export default { fetch() {
  const [client, server] = Object.values(new WebSocketPair());
  server.accept();
  server.send("%s");
  return new Response(null, { status: 101, webSocket: client });
} }`,
		"object": `import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject { fetch() {
  const [client, server] = Object.values(new WebSocketPair());
  this.ctx.acceptWebSocket(server);
  server.send("%s");
  return new Response(null, { status: 101, webSocket: client });
} }
export default { fetch: (r, env) => env.ROOM.getByName("a").fetch(r) }`,
		"another Worker's object": `import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject { fetch() {
  const [client, server] = Object.values(new WebSocketPair());
  server.accept();
  server.send("%s");
  return new Response(null, { status: 101, webSocket: client });
} }
export default {}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			version := func(text string) *config.Version {
				if name == "fetch" {
					return b.version("callee", fmt.Sprintf(callee, text))
				}
				v := b.version("callee", fmt.Sprintf(callee, text), bound(t, "ROOM", "durable_object_namespace", map[string]string{"class_name": "Room"}))
				v.Classes = []config.Class{{Name: "Room", SQLite: true, Key: "callee-Room"}}
				return v
			}
			ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
			defer cancel()
			dial := func(want string) *websocket.Conn {
				t.Helper()
				conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(b.server.URL, "http")+"/front/", nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, got, err := conn.Read(ctx); err != nil || string(got) != want {
					t.Fatalf("%q, %v", got, err)
				}
				return conn
			}
			const pass = `export default { fetch: (r, env) => env.C.fetch(r) }`
			b.deploy(version("one"))
			middle := b.version("middle", pass, bound(t, "C", "service", map[string]any{"service": "callee"}))
			if name == "another Worker's object" {
				middle = b.version("middle", `export default { fetch: (r, env) => env.C.getByName("a").fetch(r) }`,
					bound(t, "C", "durable_object_namespace", map[string]string{"class_name": "Room", "script_name": "callee"}))
			}
			b.deploy(middle)
			b.deploy(b.version("front", pass, bound(t, "C", "service", map[string]any{"service": "middle"})))
			conn := dial("one")
			defer conn.CloseNow()
			b.deploy(version("two"))
			if err := b.Start(ctx, "callee"); err != nil {
				t.Fatal(err)
			}
			if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
				t.Errorf("the WebSocket of the old version ended with %v", err)
			}
			dial("two").CloseNow()
		})
	}
}

// An open WebSocket does not hold up a Worker with Durable Objects: it is closed
// with code 1012, and the client connects to the new version.
func TestWebSocketOfObjectIsClosed(t *testing.T) {
	b := newBench(t, func(o *Options) { o.DrainTimeout = time.Minute })
	source := `import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(ws, m) { ws.send("%[1]s " + m) }
}
export default { fetch: (r, env) => r.headers.get("Upgrade") ? env.ROOM.get(env.ROOM.idFromName("a")).fetch(r) : new Response("%[1]s") }`
	room := func(name string) *config.Version {
		v := b.version("room", fmt.Sprintf(source, name), bound(t, "ROOM", "durable_object_namespace", map[string]string{"class_name": "Room"}))
		v.Classes = []config.Class{{Name: "Room", SQLite: true, Key: "room-Room"}}
		return v
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var old *websocket.Conn
	for _, name := range []string{"one", "two"} {
		b.deploy(room(name))
		b.want("/room/", name)
		if old != nil {
			if _, _, err := old.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
				t.Errorf("the WebSocket of the old version ended with %v", err)
			}
		}
		conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(b.server.URL, "http")+"/room/", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		if err := conn.Write(ctx, websocket.MessageText, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != name+" hi" {
			t.Errorf("%q, %v", got, err)
		}
		old = conn
	}
}

// sinkKind tells a channel what is sent to the binding.
type sinkKind struct{ got chan string }

func (sinkKind) Type() string                  { return "sink" }
func (sinkKind) Validate(config.Binding) error { return nil }
func (s sinkKind) Mount(_ config.Binding, at binding.Site) (binding.Mount, error) {
	return binding.Mount{Value: workerd.ServiceValue{Name: at.Service}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.got <- r.URL.Path
	})}, nil
}

// What a Worker does after its response is done even when a new version takes
// over meanwhile.
func TestWaitUntilOutlivesSwap(t *testing.T) {
	sink := sinkKind{make(chan string, 10)}
	b := newBench(t, func(o *Options) { o.Kinds = append(o.Kinds, sink) })
	source := `export default { fetch(r, env, ctx) {
  ctx.waitUntil((async () => { for (let i = 0; i < 3; i++) { await scheduler.wait(300); await env.SINK.fetch("http://s/" + i) } })());
  return new Response("%s") } }`
	b.deploy(b.version("web", fmt.Sprintf(source, "one"), bound(t, "SINK", "sink", nil)))
	b.want("/web/", "one")
	b.deploy(b.version("web", hello))
	if err := b.Start(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	b.want("/web/", "hello")
	for i := range 3 {
		select {
		case got := <-sink.got:
			if got != fmt.Sprintf("/%d", i) {
				t.Errorf("got %s", got)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("waitUntil was cut off")
		}
	}
}

// A confined cell does everything that a free one does.
func TestConfined(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Confine = true })
	v := b.counter(0)
	if _, err := b.Check(t.Context(), v); err != nil {
		t.Error(err)
	}
	b.deploy(v)
	b.want("/do/", "1")
	b.deploy(b.counter(1))
	b.want("/do/", "2")
	b.deploy(b.version("callee", `export default { fetch() { return new Response("callee") } }`))
	b.deploy(b.version("front", `export default { fetch(r, env) { return env.C.fetch(r) } }`, bound(t, "C", "service", map[string]any{"service": "callee"})))
	b.want("/front/", "callee")
}

func BenchmarkHello(b *testing.B) {
	e := newBench(b, nil)
	e.deploy(e.version("web", hello))
	e.want("/web/", "hello")
	w := discard{http.Header{}}
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _ := http.NewRequest("GET", "/", nil)
			r.Host = "x"
			if err := e.Dispatch(w, r, "web", ""); err != nil {
				b.Error(err)
			}
		}
	})
}

// discard is a response nobody reads.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return http.Header{} }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
func (d discard) Flush()                      {}

// BenchmarkStart is the time from a deployment to its first answer.
func BenchmarkStart(b *testing.B) {
	e := newBench(b, nil)
	for b.Loop() {
		e.deploy(e.version("web", hello))
		if err := e.Start(b.Context(), "web"); err != nil {
			b.Fatal(err)
		}
		e.want("/web/", "hello")
	}
}

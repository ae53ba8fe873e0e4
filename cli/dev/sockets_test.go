package dev

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/selvage-edge/selvage/internal/poll"
)

// sockets is a Worker and an object that speak WebSocket. %s is what they call
// themselves.
const sockets = `
-- wrangler.jsonc --
{"name": "sockets", "main": "index.js", "compatibility_date": "2026-11-01", "compatibility_flags": ["web_socket_compression"],
  "durable_objects": {"bindings": [{"name": "ROOM", "class_name": "Room"}]}, "migrations": [{"tag": "v1", "new_sqlite_classes": ["Room"]}]}
-- index.js --
import { DurableObject } from "cloudflare:workers";

const said = (message, socket) => {
  const [word, code] = String(message).split(" ");
  if (word === "close") socket.close(Number(code), "because");
  else socket.send(message);
};

const switched = (request, webSocket) => {
  const asked = request.headers.get("Sec-WebSocket-Protocol")?.split(",") ?? [];
  return new Response(null, { status: 101, webSocket, headers: asked.length ? { "Sec-WebSocket-Protocol": asked.at(-1).trim() } : {} });
};

export class Room extends DurableObject {
  closed = [];
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/object/closed") return Response.json(this.closed);
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    server.send("%[1]s");
    return switched(request, client);
  }
  webSocketMessage(socket, message) { said(message, socket); }
  webSocketClose(socket, code, reason, clean) {
    this.closed.push([code, reason, clean]);
    if (clean) socket.close(code, reason);
  }
}

export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/object")) return env.ROOM.getByName("room").fetch(request);
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.binaryType = "arraybuffer";
    server.addEventListener("message", ({ data }) => said(data, server));
    server.send("%[1]s");
    return switched(request, client);
  },
};
`

// dial opens a WebSocket and reads who answers.
func (r *running) dial(ctx context.Context, path, who string, o *websocket.DialOptions) (*websocket.Conn, *http.Response) {
	r.t.Helper()
	c, response, err := websocket.Dial(ctx, r.url+path, o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.CloseNow() })
	if _, got, err := c.Read(ctx); err != nil || string(got) != who {
		r.t.Fatalf("%q, %v, want %q", got, err, who)
	}
	return c, response
}

// What the two ends of a WebSocket say to each other is theirs: subprotocols,
// extensions, pings, messages of every size, and the code of the end.
func TestWebSocketsAsTheyAre(t *testing.T) {
	r := start(t, fmt.Sprintf(sockets, "one"), nil)
	ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
	defer cancel()
	for _, path := range []string{"/worker", "/object"} {
		for _, compression := range []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionContextTakeover, websocket.CompressionNoContextTakeover} {
			t.Run(fmt.Sprint(path, " compression ", compression), func(t *testing.T) {
				r := *r
				r.t = t
				o := &websocket.DialOptions{Subprotocols: []string{"chat.one", "chat.two"}, CompressionMode: compression}
				pongs := make(chan string, 1)
				o.OnPongReceived = func(_ context.Context, payload []byte) { pongs <- string(payload) }
				c, response := r.dial(ctx, path, "one", o)
				if c.Subprotocol() != "chat.two" {
					t.Errorf("subprotocol %q", c.Subprotocol())
				}
				if got, want := strings.Contains(response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate"), compression != websocket.CompressionDisabled; got != want {
					t.Errorf("extensions %q", response.Header["Sec-Websocket-Extensions"])
				}
				c.SetReadLimit(1 << 20)
				for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
					sent := bytes.Repeat([]byte("selvage "), size/8+1)[:size]
					if err := c.Write(ctx, websocket.MessageBinary, sent); err != nil {
						t.Fatal(err)
					}
					if _, got, err := c.Read(ctx); err != nil || !bytes.Equal(got, sent) {
						t.Fatalf("a message of %d bytes: %d bytes came back, %v", size, len(got), err)
					}
				}
				pinged := make(chan error, 1)
				go func() { pinged <- c.Ping(ctx) }()
				go func() {
					<-pongs
					c.Write(ctx, websocket.MessageText, []byte("close 4321"))
				}()
				_, _, err := c.Read(ctx)
				if websocket.CloseStatus(err) != 4321 || !strings.Contains(err.Error(), "because") {
					t.Errorf("the end: %v", err)
				}
				if err := <-pinged; err != nil {
					t.Errorf("ping: %v", err)
				}
			})
		}
	}
	c, _ := r.dial(ctx, "/object", "one", nil)
	c.Close(4002, "enough")
	r.until("the object learns of its client's code", func() bool {
		_, body := r.get("/object/closed")
		return strings.Contains(body, `[4002,"enough",true]`)
	})
}

// A WebSocket of an object is closed with 1012 when the code changes, and the
// client finds the new one at once.
func TestReloadRestartsWebSockets(t *testing.T) {
	r := start(t, fmt.Sprintf(sockets, "one"), nil)
	ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
	defer cancel()
	c, _ := r.dial(ctx, "/object", "one", nil)
	_, index, _ := strings.Cut(fmt.Sprintf(sockets, "two"), "-- index.js --\n")
	r.write("index.js", index)
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the old socket ended with %v, want code 1012", err)
	}
	r.dial(ctx, "/object", "two", nil)
}

// So is every WebSocket when the server ends, also with TLS.
func TestStopRestartsWebSockets(t *testing.T) {
	for name, https := range map[string]bool{"http": false, "https": true} {
		t.Run(name, func(t *testing.T) { stopRestarts(t, https) })
	}
}

func stopRestarts(t *testing.T, https bool) {
	r := start(t, fmt.Sprintf(sockets, "one"), func(o *Options) { o.HTTPS = https })
	ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
	defer cancel()
	for _, path := range []string{"/worker", "/object"} {
		c, _ := r.dial(ctx, path, "one", &websocket.DialOptions{HTTPClient: r.client})
		defer func() {
			if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
				t.Errorf("%s ended with %v, want code 1012", path, err)
			}
		}()
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

package dev

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/selvage-edge/selvage/internal/poll"
)

const sleeper = `
-- wrangler.jsonc --
{"name": "sleeper", "main": "index.js", "compatibility_date": "2026-11-01",
  "durable_objects": {"bindings": [{"name": "ROOM", "class_name": "Room"}]}, "migrations": [{"tag": "v1", "new_sqlite_classes": ["Room"]}]}
-- index.js --
import { DurableObject } from "cloudflare:workers";

let made = 0; // instances of the object; it outlives them

export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    made++;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/made") return new Response(String(made));
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server, [pathname === "/0" ? "first" : "other"]);
    server.serializeAttachment({ path: pathname });
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(socket, message) {
    const { path } = socket.deserializeAttachment();
    for (const other of this.ctx.getWebSockets(message)) other.send(path + " to " + this.ctx.getWebSockets().length + ", instance " + made);
  }
}

export default { fetch: (request, env) => env.ROOM.getByName("room").fetch(request) };
`

// An object that has nothing to do is not in memory, and its WebSockets stay
// open. A message wakes it, with all its sockets, their tags and attachments; an
// automatic response does not.
func TestHibernation(t *testing.T) {
	t.Parallel()
	const sockets = 100
	r := start(t, sleeper, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*poll.Patience)
	defer cancel()
	var conns []*websocket.Conn
	for i := range sockets {
		c, _, err := websocket.Dial(ctx, fmt.Sprintf("%s/%d", r.url, i), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		conns = append(conns, c)
	}
	say := func(c *websocket.Conn, message string) {
		t.Helper()
		if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(c *websocket.Conn) string {
		t.Helper()
		_, text, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for made := 1; made == 1; {
		// workerd lets an object sleep after 10 s without work, and asking would wake it.
		<-time.After(11 * time.Second)
		say(conns[0], "ping")
		if got := hear(conns[0]); got != "pong" {
			t.Fatalf("the automatic response is %q", got)
		}
		say(conns[sockets-1], "first")
		text := hear(conns[0])
		if _, err := fmt.Sscanf(text, fmt.Sprintf("/%d to %d, instance %%d", sockets-1, sockets), &made); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if made > 2 {
			t.Errorf("the object was made %d times: the automatic response woke it", made)
		}
	}
	say(conns[0], "other")
	for i, c := range conns[1:] {
		if got := hear(c); !strings.HasPrefix(got, "/0 to 100, ") {
			t.Errorf("socket %d got %q", i+1, got)
		}
	}
}

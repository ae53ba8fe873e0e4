// One object that holds the connections of every kind and says "tick" to all.
import { DurableObject } from "cloudflare:workers";

// made counts the instances of the object: one more for each time that it was put
// to sleep and woken.
let made = 0;

const tick = new TextEncoder().encode("data: tick\n\n");

export class Room extends DurableObject {
  plain = new Set();
  streams = new Set();

  constructor(ctx, env) {
    super(ctx, env);
    made++;
  }

  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/websocket": {
        const [client, server] = Object.values(new WebSocketPair());
        server.accept();
        this.plain.add(server);
        server.addEventListener("close", () => this.plain.delete(server));
        return new Response(null, { status: 101, webSocket: client });
      }
      case "/hibernating": {
        const [client, server] = Object.values(new WebSocketPair());
        this.ctx.acceptWebSocket(server);
        return new Response(null, { status: 101, webSocket: client });
      }
      case "/sse": {
        const { readable, writable } = new IdentityTransformStream();
        const writer = writable.getWriter();
        this.streams.add(writer);
        writer.closed.catch(() => this.streams.delete(writer));
        writer.write(tick).catch(() => {});
        return new Response(readable, { headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" } });
      }
      case "/tick": {
        const sockets = [...this.plain, ...this.ctx.getWebSockets()];
        for (const socket of sockets) socket.send("tick");
        for (const writer of this.streams) writer.write(tick).catch(() => {});
        return new Response(`${sockets.length + this.streams.size} ${made}`);
      }
    }
    return new Response("no such path", { status: 404 });
  }
}

export default {
  fetch: (request, env) => env.ROOM.getByName("room").fetch(request),
};

import { DurableObject } from "cloudflare:workers";
import { Buffer } from "node:buffer";
import note from "./note.txt";
import data from "./data.bin";
import add from "./add.wasm";

// Every path below /api/ tries one thing and answers with JSON or text.
export default {
  async fetch(request: Request, env: any, ctx: ExecutionContext): Promise<Response> {
    const url = new URL(request.url);
    const what = url.pathname.replace("/api/", "");
    switch (what) {
      case "request":
        return Response.json({
          url: request.url,
          colo: request.cf?.colo,
          protocol: request.cf?.httpProtocol,
          ip: request.headers.get("CF-Connecting-IP"),
          ray: /^[0-9a-f]{16}/.test(request.headers.get("CF-Ray") ?? ""),
          proto: request.headers.get("X-Forwarded-Proto"),
          forged: request.headers.get("Selvage-Capability"),
        });
      case "vars":
        return Response.json([env.TEXT, env.OBJECT, env.SECRET, typeof env.VERSION.id]);
      case "modules": {
        const instance = (await WebAssembly.instantiate(add)) as any;
        return Response.json([note.trim(), [...new Uint8Array(data)], instance.exports.add(2, 3), Buffer.from("node").toString("hex")]);
      }
      case "analytics":
        env.STATS.writeDataPoint({ indexes: ["i"], blobs: [url.search], doubles: [1] });
        return new Response("written");
      case "kv": {
        await env.KV.put("greeting", "hello", { metadata: { lang: "en" } });
        const { value, metadata } = await env.KV.getWithMetadata("greeting");
        await env.KV.put("json", JSON.stringify({ n: 1 }));
        const bulk = await env.KV.get(["greeting", "missing"]);
        const list = await env.KV.list({ prefix: "g" });
        let error = "none";
        try {
          await env.KV.put("short", "x", { expirationTtl: 1 });
        } catch (e: any) {
          error = e.message;
        }
        return Response.json([value, metadata, await env.KV.get("json", "json"), [...bulk], list.keys.map((k: any) => k.name), error]);
      }
      case "d1": {
        await env.DB.exec("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)");
        await env.DB.exec("DELETE FROM t");
        const insert = env.DB.prepare("INSERT INTO t (name) VALUES (?)");
        await env.DB.batch([insert.bind("a"), insert.bind("b")]);
        let error = "none";
        try {
          await env.DB.batch([insert.bind("c"), insert.bind("a")]);
        } catch (e: any) {
          error = e.message;
        }
        const { results, meta } = await env.DB.prepare("SELECT name FROM t ORDER BY name").all();
        let attach = "none";
        try {
          await env.DB.prepare("ATTACH 'x' AS y").run();
        } catch (e: any) {
          attach = e.message;
        }
        return Response.json([results, typeof meta.duration, error, attach]);
      }
      case "service":
        return Response.json([
          await (await env.CALLEE.fetch("https://callee/path")).text(),
          await env.CALLEE.add(1, 2),
          await env.NAMED.who(),
          await (await env.CALLEE.counter()).increment(5),
        ]);
      case "ratelimit": {
        const outcomes = [];
        for (let i = 0; i < 3; i++) outcomes.push((await env.LIMITER.limit({ key: "k" })).success);
        return Response.json(outcomes);
      }
      case "queue":
        try {
          await env.QUEUE.send(url.searchParams.has("large") ? "x".repeat(128_000) : { n: 1 });
          return new Response("sent");
        } catch (e: any) {
          return new Response(e.message);
        }
      case "received":
        return Response.json(await env.CALLEE.received());
      case "assets":
        return env.ASSETS.fetch(new URL("/about", url));
      case "room":
        return env.ROOM.get(env.ROOM.idFromName("one")).fetch(request);
      case "count":
        return Response.json(await env.ROOM.get(env.ROOM.idFromName("one")).count());
      case "socket": {
        const [client, server] = Object.values(new WebSocketPair());
        server.accept();
        server.addEventListener("message", (event) => server.send("echo " + event.data));
        return new Response(null, { status: 101, webSocket: client });
      }
      case "events": {
        const { readable, writable } = new TransformStream();
        const writer = writable.getWriter();
        const text = new TextEncoder();
        ctx.waitUntil(
          (async () => {
            await writer.write(text.encode("data: first\n\n"));
            // The second event waits until the client has seen the first one.
            while ((await env.KV.get("seen")) !== url.searchParams.get("id")) await scheduler.wait(10);
            await writer.write(text.encode("data: second\n\n"));
            await writer.close();
          })(),
        );
        return new Response(readable, { headers: { "Content-Type": "text/event-stream" } });
      }
      case "seen":
        await env.KV.put("seen", url.searchParams.get("id"));
        return new Response("ok");
      case "length": {
        let n = 0;
        for await (const chunk of request.body!) n += chunk.length;
        return Response.json(n);
      }
      case "self":
        return fetch(new URL("/about", url));
      case "private":
        return fetch("http://127.0.0.1:1/");
      case "origin":
        return fetch("http://users-service.internal/from/the/worker?q=1");
      case "early": // answers without reading the body
        return new Response("too large", { status: 413 });
    }
    return new Response("no such thing: " + what, { status: 404 });
  },
};

export class Room extends DurableObject {
  async fetch(): Promise<Response> {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server); // hibernates between messages
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(ws: WebSocket, message: string) {
    const n = ((this.ctx.storage.kv.get("n") as number) ?? 0) + 1;
    this.ctx.storage.kv.put("n", n);
    ws.send(`${n}: ${message}`);
  }
  count() {
    return this.ctx.storage.kv.get("n") ?? 0;
  }
}

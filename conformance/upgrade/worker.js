import { DurableObject } from "cloudflare:workers";

export class Counter extends DurableObject {
  async add() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS log (n)");
    this.ctx.storage.sql.exec("INSERT INTO log VALUES (?)", n);
    return n;
  }
  async read() {
    return { n: await this.ctx.storage.get("n"), log: this.ctx.storage.sql.exec("SELECT n FROM log").toArray().map((r) => r.n) };
  }
}

const large = "large ".repeat(20_000);

export default {
  async fetch(request, env) {
    const counter = env.COUNTER.get(env.COUNTER.idFromName("one"));
    switch (new URL(request.url).pathname) {
      case "/write":
        await env.KV.put("small", "value", { metadata: { of: "small" } });
        await env.KV.put("large", large);
        await env.KV.put("deleted", "value");
        await env.KV.delete("deleted");
        await env.DB.exec("CREATE TABLE notes (id INTEGER PRIMARY KEY, text)");
        await env.DB.prepare("INSERT INTO notes (text) VALUES (?)").bind("first").run();
        await counter.add();
        await counter.add();
        return new Response("written");
      case "/write-more":
        await env.DB.prepare("INSERT INTO notes (text) VALUES (?)").bind("second").run();
        return new Response("written");
      case "/read":
        return Response.json({
          small: await env.KV.getWithMetadata("small"),
          large: (await env.KV.get("large")) === large,
          keys: (await env.KV.list()).keys.map((k) => k.name),
          notes: (await env.DB.prepare("SELECT text FROM notes ORDER BY id").all()).results.map((r) => r.text),
          counter: await counter.read(),
          secret: env.SECRET,
          plain: env.PLAIN,
        });
    }
    return new Response("no such path", { status: 404 });
  },
};

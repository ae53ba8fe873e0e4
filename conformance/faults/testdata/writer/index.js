import { DurableObject } from "cloudflare:workers";

export class List extends DurableObject {
  async add(id) {
    this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS list (id TEXT PRIMARY KEY)");
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO list VALUES (?)", id);
    await this.ctx.storage.sync();
  }
  all() {
    return [...this.ctx.storage.sql.exec("SELECT id FROM list").raw()].map(([id]) => id);
  }
}

// Each path under /write acknowledges one id with 200; /all/<store> lists them.
export default {
  async fetch(request, env) {
    const [, verb, store, id] = new URL(request.url).pathname.split("/");
    const list = () => env.LIST.get(env.LIST.idFromName("list"));
    switch (verb + " " + store) {
      case "write kv":
        await env.KV.put(id, "value of " + id);
        break;
      case "write d1":
        await env.DB.prepare("INSERT OR REPLACE INTO list VALUES (?)").bind(id).run();
        break;
      case "write do":
        await list().add(id);
        break;
      case "all kv": {
        const ids = [];
        for (let cursor; ; ) {
          const page = await env.KV.list({ cursor });
          ids.push(...page.keys.map((k) => k.name));
          if (page.list_complete) break;
          cursor = page.cursor;
        }
        return Response.json(ids);
      }
      case "all d1":
        return Response.json((await env.DB.prepare("SELECT id FROM list").raw()).map(([id]) => id));
      case "all do":
        return Response.json(await list().all());
      case "prepare all":
        await env.DB.exec("CREATE TABLE IF NOT EXISTS list (id TEXT PRIMARY KEY)");
        await list().add("first");
        break;
      case "spin forever":
        while (true);
      default:
        return new Response("unknown", { status: 404 });
    }
    return new Response("ok");
  },
};

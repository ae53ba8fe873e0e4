import { WorkflowEntrypoint } from "cloudflare:workers";

// The Worker that every side runs. Each path is one row of the table.
let n = 0;

// An object of the rows r2-get and r2-put.
const content = new Uint8Array(4096).map((_, i) => i);

// Messages of the row queue-through: those that were sent, and those that have
// come back. No more than window are on their way, so that the row goes at the
// pace of the slower half.
let sent = 0;
let received = 0;
const window = 2000;
const batch = Array.from({ length: 10 }, (_, i) => ({ body: { job: i, text: "a line of text" } }));

// Instances of the row workflow-steps that have not been seen to be complete. No more
// than this many are on their way.
const instances = [];
const atOnce = 64;

// compute takes about 2 ms on the machine of bench/README.md. In a function of its
// own, since the runtime may leave a loop in a large one to its interpreter.
function compute() {
  let x = 1;
  for (let i = 0; i < 1_600_000; i++) x = Math.imul(x ^ i, 0x9e3779b1);
  return x;
}

export class Flow extends WorkflowEntrypoint {
  async run(event, step) {
    for (let i = 0; i < 10; i++) await step.do("step", async () => i);
  }
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    switch (pathname) {
      case "/hello":
        return new Response("hello");
      case "/post":
        return new Response((await request.json()).name);
      case "/compute":
        return new Response(String(compute()));
      case "/kv-get":
        return new Response(await env.KV.get("key"));
      case "/kv-put":
        await env.KV.put("key-" + (n++ % 1000), "value");
        return new Response("ok");
      case "/r2-get":
        return new Response((await env.FILES.get("key")).body);
      case "/r2-put":
        await env.FILES.put("key-" + (n++ % 1000), content);
        return new Response("ok");
      case "/d1-read":
        return Response.json(await env.DB.prepare("SELECT id, name FROM items WHERE id = ?").bind(1 + (n++ % 1000)).first());
      case "/d1-insert":
        await env.DB.prepare("INSERT INTO log (text) VALUES (?)").bind("a line of text").run();
        return new Response("ok");
      case "/service-fetch":
        return env.CALLEE.fetch("http://callee/hello");
      case "/service-rpc":
        return new Response(String(await env.CALLEE.add(1, 2)));
      case "/queue-send":
        await env.SENT.send({ job: n++, text: "a line of text" });
        return new Response("ok");
      case "/queue-through":
        sent += batch.length;
        await env.THROUGH.sendBatch(batch);
        while (sent - received > window) await scheduler.wait(2);
        return new Response("ok");
      case "/workflow-steps":
        instances.push(await env.FLOW.create());
        if (instances.length > atOnce) {
          const oldest = instances.shift();
          while ((await oldest.status()).status !== "complete") await scheduler.wait(5);
        }
        return new Response("ok");
      case "/prepare":
        await env.KV.put("key", "value");
        if (env.FILES) await env.FILES.put("key", content);
        await env.DB.exec("CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, name TEXT)");
        await env.DB.exec("CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, text TEXT)");
        for (let i = 0; i < 1000; i += 50) {
          const rows = Array.from({ length: 50 }, (_, j) => `(${i + j + 1}, 'item ${i + j + 1}')`);
          await env.DB.prepare(`INSERT OR REPLACE INTO items (id, name) VALUES ${rows.join(", ")}`).run();
        }
        return new Response("ok");
      default:
        return new Response("no such row", { status: 404 });
    }
  },
  queue(messages) {
    received += messages.messages.length;
  },
};

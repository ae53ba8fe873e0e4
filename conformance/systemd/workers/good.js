import { DurableObject } from "cloudflare:workers";

export class Counter extends DurableObject {
  fetch() {
    const n = (this.ctx.storage.kv.get("n") ?? 0) + 1;
    this.ctx.storage.kv.put("n", n);
    return new Response(String(n));
  }
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/count") return env.COUNTER.getByName("one").fetch(request);
    if (pathname === "/slow") {
      await scheduler.wait(5000);
      return new Response("slow but whole");
    }
    return new Response("hello");
  },
};

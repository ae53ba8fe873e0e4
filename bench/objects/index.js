import { DurableObject } from "cloudflare:workers";

let n = 0;

export class Counter extends DurableObject {
  async increment() {
    const count = ((await this.ctx.storage.get("count")) ?? 0) + 1;
    await this.ctx.storage.put("count", count);
    return count;
  }
}

export default {
  async fetch(request, env) {
    switch (new URL(request.url).pathname) {
      case "/do-one":
        return new Response(String(await env.COUNTER.getByName("one").increment()));
      case "/do-hundred":
        return new Response(String(await env.COUNTER.getByName("object " + (n++ % 100)).increment()));
      case "/prepare":
        return new Response("ok");
      default:
        return new Response("no such row", { status: 404 });
    }
  },
};

// A private service reached by fetch, and not a reliable one: /outage fails on
// purpose, so that the gateway's circuit breaker can be seen at work.

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const user = request.headers.get("X-User-ID");
    if (request.method !== "GET") return Response.json({ error: "orders are read-only" }, { status: 405, headers: { Allow: "GET" } });
    if (pathname === "/outage") throw new Error("the orders database is on fire");
    if (pathname === "/") return Response.json({ user, orders: [{ id: "o-1", item: "thread", quantity: 12 }] });
    return Response.json({ error: "no such order" }, { status: 404 });
  },
} satisfies ExportedHandler<unknown>;

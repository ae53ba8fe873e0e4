// A private service reached by fetch. It believes X-User-ID and X-User-Role
// because only the gateway has a binding to it, and the gateway sets them itself.

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const id = request.headers.get("X-User-ID") ?? "";
    const role = request.headers.get("X-User-Role") ?? "";

    switch (`${request.method} ${pathname}`) {
      case "GET /me":
        return Response.json({ id, role });
      case "GET /me/headers":
        // What the service gets to see of a request, for trying the gateway out.
        return Response.json(
          Object.fromEntries([...request.headers].filter(([name]) => /^(x[-_]user|authorization|connection|x-hop)/.test(name))),
        );
      case "PUT /me/avatar":
        return Response.json({ bytes: await count(request.body) });
    }
    return Response.json({ error: "no such user resource" }, { status: 404 });
  },
} satisfies ExportedHandler<unknown>;

async function count(body: ReadableStream<Uint8Array> | null): Promise<number> {
  let bytes = 0;
  if (body === null) return bytes;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return bytes;
    bytes += value.byteLength;
  }
}

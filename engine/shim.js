// The shim turns requests of the engine into events of the user's Worker. It
// listens on a socket of its own, which no tenant can reach.
export default {
  async fetch(request, env) {
    // Only the engine can send this header here; the URL is then the object's.
    const address = request.headers.get("Selvage-Object");
    if (address !== null) {
      const headers = new Headers(request.headers);
      headers.delete("Selvage-Object");
      const [namespace, id] = object(env, JSON.parse(address));
      return namespace.get(id).fetch(new Request(request, { headers, redirect: "manual" }));
    }
    switch (new URL(request.url).pathname) {
      case "/ping":
        // Answered only while the cell's one JavaScript thread is not held up.
        return new Response("pong");
      case "/scheduled": {
        const { cron, scheduledTime } = await request.json();
        return Response.json(await env.USER.scheduled({ cron, scheduledTime: new Date(scheduledTime) }));
      }
      case "/object-id":
        try {
          return Response.json({ id: object(env, await request.json())[1].toString() });
        } catch (e) {
          return Response.json({ error: e.message });
        }
      case "/exports":
        return env.PROBE.fetch(request);
    }
    return new Response("no such event", { status: 404 });
  },
};

// object finds the Durable Object that an address names: by id, by name, or a
// new one.
function object(env, { class: name, id, name: key }) {
  const namespace = env["class " + name];
  if (id) return [namespace, namespace.idFromString(id)];
  return [namespace, key === undefined ? namespace.newUniqueId() : namespace.idFromName(key)];
}

// The shim turns requests of the engine into events of the user's Worker. It
// listens on a socket of its own, which no tenant can reach.
export default {
  async fetch(request, env) {
    switch (new URL(request.url).pathname) {
      case "/ping":
        // Answered only while the cell's one JavaScript thread is not held up.
        return new Response("pong");
      case "/scheduled": {
        const { cron, scheduledTime } = await request.json();
        return Response.json(await env.USER.scheduled({ cron, scheduledTime: new Date(scheduledTime) }));
      }
      case "/exports":
        return env.PROBE.fetch(request);
    }
    return new Response("no such event", { status: 404 });
  },
};

// The tail Worker: it reports the invocations of the user's Worker to the
// engine while somebody looks, as look.go tells it. What ends while a report is on its way goes into the next one, so
// that a busy Worker's invocations cost a report together and not each its own.
const maxBytes = 1 << 20; // of one report, unless one event alone has more

let waiting = [];
let sending = false;

async function send(sink) {
  sending = true;
  try {
    while (waiting.length > 0) {
      let n = 0;
      for (let bytes = 0; n < waiting.length && (n === 0 || bytes + waiting[n].length < maxBytes); n++) bytes += waiting[n].length;
      const body = "[" + waiting.splice(0, n).join(",") + "]";
      await sink.fetch("http://tail/", { method: "POST", body });
    }
  } finally {
    sending = false;
  }
}

export default {
  async fetch(request) {
    looking = await request.json();
    return new Response();
  },
  tail(events, env, ctx) {
    if (!looking) return;
    waiting.push(JSON.stringify(events).slice(1, -1));
    if (!sending) ctx.waitUntil(send(env.SINK));
  },
};

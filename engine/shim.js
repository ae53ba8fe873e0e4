// The shim turns what the engine sends into events of the user's Worker. It
// listens on a socket of its own, which no tenant can reach.
//
// An event is POST /event/<type>. Its body is JSON, the head, of as many bytes
// as Selvage-Head says, and then binary data, the body. Selvage-Tag, where
// there is one, is what invocation.js is to know the event by. The answer is a
// line of JSON, a binding.Outcome, and then binary data.
import * as attended from "./attended.js";

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
    const { pathname } = new URL(request.url);
    const type = pathname.startsWith("/event/") && pathname.slice("/event/".length);
    const event = type && (events[type] ?? attended[type]);
    if (event) return deliver(event, request, env);
    switch (pathname) {
      case "/ping":
        // Answered only while the cell's one JavaScript thread is not held up.
        return new Response("pong");
      case "/look":
        return env.TAIL.fetch(request);
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

// events has a case for each type. It reads the event and returns a function
// that runs the handler and returns the outcome: when the first fails, the
// handler has not begun. Kinds of binding have further ones; see
// binding.Attendant.
const events = {
  // head: { cron, scheduledTime }, in milliseconds.
  scheduled({ head: { cron, scheduledTime }, tag }, user) {
    return () => user.scheduled({ cron: cron + tag, scheduledTime: new Date(scheduledTime) });
  },

  // head: { queue, metrics, messages: [{ id, timestamp, attempts, body }] }. A
  // message may have contentType and size in place of body; body: those messages'
  // bodies. result: ackAll, retryBatch, explicitAcks and retryMessages, as the
  // runtime gives them.
  async queue({ head: { queue, metrics, messages }, body: bodies, tag }, user) {
    const data = await bodies.bytes();
    let at = 0;
    const list = messages.map(({ id, timestamp, attempts, body, contentType, size = 0 }) => {
      const message = { id, timestamp: new Date(timestamp), attempts, body };
      if (body === undefined) Object.assign(message, content(contentType, data.slice(at, (at += size))));
      return message;
    });
    if (at !== data.length) throw new Error(`the messages have ${at} bytes, the body ${data.length}`);
    const oldest = metrics?.oldestMessageTimestamp;
    const metadata = metrics && { metrics: oldest === undefined ? metrics : { ...metrics, oldestMessageTimestamp: new Date(oldest) } };
    return async () => {
      const { outcome, ...result } = await user.queue(queue + tag, list, metadata);
      return { outcome, result };
    };
  },

  // body: the events, a JSON array.
  async tail({ body, tag }, user) {
    const items = JSON.parse(new TextDecoder().decode(await body.bytes()));
    if (tag) items.push(tag);
    return () => called("tail", () => user.tail(items));
  },

  // head: { from, to, headers: [[name, value]] }; body: the message. result:
  // { reject?, forwards: [{ to, headers }], replies: [{ from, to, size }] };
  // the replies follow as they are, one after the other.
  email({ head: { from, to, headers }, body, tag }, user) {
    const result = { forwards: [], replies: [] };
    const replies = [];
    const message = {
      from,
      to,
      headers: new Headers(headers),
      raw: body.stream(),
      rawSize: body.size,
      canBeForwarded: true,
      setReject(reason) {
        result.reject = String(reason);
      },
      async forward(to, headers) {
        result.forwards.push({ to, headers: headers ? [...new Headers(headers)] : [] });
      },
      async reply(reply) {
        const raw = reply["EmailMessage::raw"];
        const bytes = await new Response(raw).bytes();
        result.replies.push({ from: reply.from, to: reply.to, size: bytes.length });
        replies.push(bytes);
      },
    };
    if (tag) message[tag] = true;
    return async () => {
      const outcome = await called("email", () => user.email(message));
      await scheduler.wait(0); // calls that the handler did not wait for arrive
      return { ...outcome, result, body: new Blob(replies) };
    };
  },
};

const decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // whose making costs more than a short text

// content is a message's body as queue() takes it.
function content(type, bytes) {
  switch (type) {
    case "text":
      return { body: decoder.decode(bytes) };
    case "json":
      return { body: JSON.parse(decoder.decode(bytes)) };
    case "bytes":
      return { body: bytes.buffer };
    case "v8":
      return { serializedBody: bytes };
  }
  throw new Error(`no such content type: ${type}`);
}

// called makes an outcome of a handler that is called by RPC.
async function called(name, f) {
  try {
    await f();
    return { outcome: "ok", noRetry: false };
  } catch (e) {
    return { outcome: "exception", noRetry: e.message === `The RPC receiver does not implement the method "${name}".` };
  }
}

// deliver brings an event to the user's Worker. The answer comes after all of
// the request has been read: who still sends would not see it.
async function deliver(event, request, env) {
  let opened, run;
  try {
    opened = await open(request);
    run = await event(opened, env.USER, env);
  } catch (e) {
    return new Response(e.stack, { status: 400 });
  }
  const { body, ...outcome } = await Promise.try(run).catch((e) => ({ error: e.stack }));
  await opened.body.drain();
  return new Response(new Blob([JSON.stringify(outcome), "\n", body ?? ""]));
}

// open reads the head of an event.
async function open(request) {
  const length = Number(request.headers.get("Selvage-Head"));
  const size = Number(request.headers.get("Content-Length")) - length;
  const reader = request.body.getReader({ mode: "byob" });
  const read = async (n) => {
    const { value } = await reader.readAtLeast(n, new Uint8Array(n));
    if (value?.length !== n) throw new Error("the event was cut off");
    return value;
  };
  const head = await read(length);
  const tag = request.headers.get("Selvage-Tag");
  let writer, pump;
  return {
    head: JSON.parse(new TextDecoder().decode(head)),
    tag: tag ? "\x1e" + tag : "",
    body: {
      size,
      bytes: async () => (size === 0 ? new Uint8Array() : read(size)),
      stream() {
        const { readable, writable } = new FixedLengthStream(size);
        writer = writable.getWriter();
        pump = copy(reader, writer);
        return readable;
      },
      // drain ends the stream and reads what has not gone into it.
      async drain() {
        await writer?.abort().catch(() => {});
        await pump;
      },
    },
  };
}

// copy writes what reader gives. It reads to the end also when nobody wants it.
async function copy(reader, writer) {
  let wanted = true;
  const unwanted = () => (wanted = false);
  try {
    for (;;) {
      const { value, done } = await reader.read(new Uint8Array(1 << 16));
      if (done) break;
      if (wanted) await writer.write(value).catch(unwanted);
    }
    await writer.close();
  } catch (e) {
    await writer.abort(e).catch(unwanted); // the sender broke off, or the handler has ended
  }
}

// object finds the Durable Object that an address names: by id, by name, or a
// new one.
function object(env, { class: name, id, name: key }) {
  const namespace = env["class " + name];
  if (id) return [namespace, namespace.idFromString(id)];
  return [namespace, key === undefined ? namespace.newUniqueId() : namespace.idFromName(key)];
}

// Rollbacks, streams and subscriptions. features.golden has what each mode comes to; wrangler dev 4.164.0 gives the
// same, but for its __LOCAL_DEV_STEP_OUTPUTS, the default delay of a retry, and two faults of its own: it does not try a
// rollback again whose delay is a function ("undoFails"), and a stream cannot be read when it is undone ("undone").
import { WorkflowEntrypoint } from "cloudflare:workers";

const notes = [];
const undo = async ({ ctx, output, error, stepName }) => {
  notes.push([stepName, ctx, output ?? "nothing", error.name, error.message]);
};
const stream = (text) => new Blob([text]).stream();
const bytes = (pull) => new ReadableStream({ type: "bytes", pull });
const size = async (stream) => {
  let n = 0;
  for await (const part of stream) n += part.length;
  return n;
};
const once = { retries: { limit: 0, delay: 0 } };

const modes = {
  // Rollbacks.
  async fails(step) {
    await step.do("a", once, async () => ({ n: 1 }), { rollback: undo });
    await step.do("b", { retries: { limit: 1, delay: 10 } }, async () => "b", { rollback: undo, rollbackConfig: { retries: { limit: 2, delay: 5 } } });
    await step.do("without", once, async () => 5);
    await step.do("c", once, async () => { throw new TypeError("boom"); }, { rollback: undo });
  },
  async throws(step) {
    await step.do("a", once, async () => 1, { rollback: undo });
    throw new RangeError("outside");
  },
  async undoFails(step) {
    await step.do("first", once, async () => 1, { rollback: undo });
    let n = 0;
    const rollback = async () => {
      notes.push(["try", ++n]);
      throw new Error("cannot");
    };
    await step.do("second", once, async () => 1, { rollback, rollbackConfig: { retries: { limit: 2, delay: async () => 5 } } });
    throw new Error("x");
  },
  async caught(step) {
    await step.do("a", once, async () => { throw new Error("no"); }, { rollback: undo }).catch(() => {});
    return "nothing is undone";
  },
  async terminated(step) {
    await step.do("a", once, async () => 1, { rollback: undo });
    await step.waitForEvent("w", { type: "go" });
  },
  async options(step) {
    const out = [];
    for (const options of [5, null, [], {}, { rollback: 1 }, { rollback: undo, rollbackConfig: { foo: 1 } }]) {
      await step.do("x", async () => 1, options).then(() => out.push("fine"), (e) => out.push(e.message));
    }
    return out;
  },
  // Streams.
  async small(step) {
    const s = await step.do("s", async () => stream("some text"));
    return [s.constructor.name, await new Response(s).text()];
  },
  large: async (step) => size(await step.do("s", async () => stream("x".repeat(3_000_000)))),
  empty: async (step) => size(await step.do("s", async () => stream(""))),
  response: async (step) => size(await step.do("s", async () => new Response("hello world").body)),
  async unread(step) {
    await step.do("s", async () => stream("x".repeat(3_000_000)));
    return "done";
  },
  async another(step) {
    const a = await step.do("a", async () => stream("text"));
    return size(await step.do("b", async () => a));
  },
  async breaks(step) {
    let n = 0;
    await step.do("s", once, async () => bytes((c) => { if (n++ > 2) throw new Error("broken"); c.enqueue(new Uint8Array(100)); }));
  },
  async slow(step) {
    let n = 0;
    const part = async (c) => {
      c.enqueue(new Uint8Array(100));
      if (n++ > 2) await scheduler.wait(10_000);
    };
    await step.do("s", { timeout: 200, ...once }, async () => bytes(part));
  },
  async within(step) {
    return step.do("s", once, async () => ({ a: stream("text") }));
  },
  async undone(step) {
    const rollback = async ({ output }) => { notes.push(await new Response(output).text()); };
    await step.do("s", once, async () => stream("text"), { rollback });
    throw new Error("x");
  },
  // Events.
  async event(step) {
    await step.sleep("nap", 20);
    await step.do("retried", { retries: { limit: 1, delay: 10, backoff: "constant" } }, async ({ attempt }) => {
      if (attempt === 1) throw new Error("at first");
    });
    await step.do("hidden", { ...once, sensitive: "output" }, async () => 1);
    await step.waitForEvent("late", { type: "never", timeout: 30 }).catch(() => {});
    const { payload } = await step.waitForEvent("w", { type: "go" });
    return new Date(payload);
  },
};

export class Flow extends WorkflowEntrypoint {
  run({ payload: { mode } }, step) {
    return modes[mode](step);
  }
}

const ended = ["complete", "errored", "terminated"];

async function read(instance, options) {
  const told = [];
  using subscription = await instance.subscribe(options);
  for (;;) {
    const { value, done } = await subscription.next();
    if (done) return told;
    const { instanceId, timestamp, ...event } = value;
    if (instanceId !== instance.id || typeof timestamp !== "number") throw new Error("not ours");
    if (event.output instanceof ReadableStream) event.output = await new Response(event.output).text();
    // How long a run that waits goes on is not the same everywhere.
    if (event.type !== "workflow_waiting" && event.type !== "workflow_running") told.push({ ...event, eventId: told.length });
  }
}

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const mode = pathname.slice(1);
    notes.length = 0;
    const instance = await env.WF.create({ params: { mode } });
    if (searchParams.has("options")) {
      const error = await instance.subscribe(JSON.parse(searchParams.get("options"))).then(() => "fine", (e) => e.message);
      return Response.json(error);
    }
    const events = searchParams.has("events") && read(instance, JSON.parse(searchParams.get("events") || "{}"));
    if (mode === "event") await instance.sendEvent({ type: "go", payload: 5 });
    if (mode === "terminated") {
      using subscription = await instance.subscribe({ filter: ["wait_started"] });
      await subscription.next();
      await instance.terminate({ rollback: true });
    }
    let status;
    do {
      await scheduler.wait(10);
      status = await instance.status();
    } while (!ended.includes(status.status));
    delete status.__LOCAL_DEV_STEP_OUTPUTS;
    return Response.json({ ...status, notes, ...(events && { events: await events }) });
  },
};

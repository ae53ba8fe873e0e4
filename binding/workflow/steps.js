// The event "workflow": it runs the function of an instance. clone.js comes before
// this in the module.
//
// head: { class, token, workflow, instance, timestamp, schedule?, undo? }, in
// milliseconds; body: the parameters. undo are the places of the steps whose rollbacks
// are to be known by name before they run. result: { status: "complete" }, with what the function has returned in
// the body, { status: "errored", failure: { name, message } }, or { status: "ended" }
// for a run whose outcome nobody waits for.
import { RpcTarget } from "cloudflare:workers";

export default async function ({ head, body, tag }, user, env) {
  const target = env["entrypoint " + head.class];
  if (!target) throw new Error(`the Worker has no binding to a Workflow of its class ${head.class}`);
  const payload = decode(new TextDecoder().decode(await body.bytes()));
  const event = { payload, timestamp: new Date(head.timestamp), instanceId: head.instance, workflowName: head.workflow + tag };
  if (head.schedule) event.schedule = head.schedule;
  return async () => {
    const run = new Run(env["calls workflow"], head.token, head.undo);
    return { outcome: "ok", ...(await Promise.race([run.over, finished(target, event, run, head.undo !== undefined)])) };
  };
}

// finished runs the function, and undoes steps where it fails. rolling: it runs so
// that the rollbacks of its steps are known.
async function finished(target, event, run, rolling) {
  let failure;
  try {
    const output = target.run(event, new Step(run));
    if (!rolling) return { result: { status: "complete" }, body: serialized(await output, "run()") };
    await Promise.race([output, run.known]);
  } catch (e) {
    failure = failureOf(e);
  }
  if (rolling || run.undos.size > 0) await run.rollBack(failure);
  return { result: { status: "errored", failure: failure ?? failureOf(new Error("the steps were undone")) } };
}

// serialized is the text of what somebody has returned, of which the stubs are let
// go.
function serialized(value, who) {
  try {
    return encode(value);
  } catch {
    throw named(
      "WorkflowFatalError",
      `The execution of the Workflow instance was terminated, as ${who} returned a value which is not serialisable`,
    );
  } finally {
    value?.[Symbol.dispose]?.();
  }
}

const named = (name, message) => Object.assign(new Error(message), { name });
const failureOf = (e) => ({ name: String(e?.name ?? "Error"), message: String(e?.message ?? e) });

// never is what a step of a run that is over waits for: nothing of the function
// goes on.
const never = new Promise(() => {});

// longest is the longest time that a timer takes.
const longest = 2 ** 31 - 1;

class Run {
  #service;
  #token;
  #end;
  #counts = new Map();
  #unknown;
  #know;
  // undos are the rollbacks of steps, by the places of those.
  undos = new Map();
  constructor(service, token, unknown) {
    this.#service = service;
    this.#token = token;
    this.over = new Promise((resolve) => (this.#end = resolve));
    this.#unknown = unknown && new Set(unknown);
    this.known = new Promise((resolve) => (this.#know = resolve));
    if (this.#unknown?.size === 0) this.#know();
  }

  // label names a step of a type. Calls may overtake one another on their way, so
  // that it is here that steps of one name are counted.
  label(type, name) {
    name = String(name);
    const key = type + ":" + name;
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    return { name, count };
  }

  // call asks what is to become of a step.
  async call(verb, head, text = "") {
    const response = await this.#service.fetch(`http://steps/${this.#token}/${verb}`, { method: "POST", body: JSON.stringify(head) + "\n" + text });
    const answer = await response.text();
    if (!response.ok) return this.end();
    const at = answer.indexOf("\n");
    const { ended, ...rest } = JSON.parse(answer.slice(0, at));
    if (ended) return this.end();
    return { ...rest, text: answer.slice(at + 1) };
  }

  end(result = { status: "ended" }) {
    this.#end({ result });
    return never;
  }

  // attempts makes the attempts of a step that answer asks for. make is told of one;
  // delay is the Worker's function that says how long to wait, if there is one.
  async attempts(answer, name, delay, make) {
    while (answer.attempt) {
      const { place, context } = answer.attempt;
      try {
        answer = await this.#attempt(answer.attempt, name, make);
      } catch (e) {
        if (e === fatal) return never;
        const head = { place, failure: failureOf(e) };
        if (delay !== undefined) {
          try {
            head.delay = await pause(delay, e, context);
          } catch (wrong) {
            // Its name keeps the step from being tried again.
            head.failure = { name: "NonRetryableDelayError", message: wrong.message };
          }
        }
        answer = await this.call("done", head);
      }
    }
    return answer;
  }

  async #attempt({ place, timeout, context }, name, make) {
    const aborted = new AbortController();
    const late = new Promise((_, reject) => aborted.signal.addEventListener("abort", () => reject(aborted.signal.reason)));
    late.catch(() => {}); // nobody may be waiting
    const timer = setTimeout(
      () => aborted.abort(named("WorkflowTimeoutError", `Execution timed out after ${timeout}ms`)),
      Math.min(timeout, longest),
    );
    try {
      const value = await Promise.race([make(context), late]);
      if (value instanceof ReadableStream) return await Promise.race([this.#keep(place, value, name, aborted.signal), late]);
      const text = this.#text(value, name);
      return { ...(await this.call("done", { place }, text)), text };
    } finally {
      clearTimeout(timer);
    }
  }

  #text(value, name) {
    try {
      return serialized(value, `the step "${name}"`);
    } catch (e) {
      return this.#fail(failureOf(e));
    }
  }

  // #keep stores a stream that a step has returned.
  async #keep(place, stream, name, signal) {
    const invalid = (text) =>
      this.#fail({
        name: "WorkflowFatalError",
        message: `The execution of the Workflow instance was terminated, as the step "${name}" returned an invalid ReadableStream output. ${text}`,
      });
    if (stream.locked) {
      return invalid("Step returned a ReadableStream that is already locked or otherwise unreadable. Return a fresh, unlocked ReadableStream from step.do().");
    }
    const { readable, writable } = framing();
    let broken;
    stream.pipeTo(writable, { signal }).catch((e) => (broken = e));
    let response;
    try {
      response = await this.#service.fetch(`http://steps/${this.#token}/stream/${place}`, { method: "POST", body: readable, signal });
    } catch (e) {
      if (signal.aborted) throw signal.reason;
      return invalid("Failed to read from step ReadableStream output. " + (broken ?? e).message);
    }
    if (!response.ok) return this.end();
    const { ended, short, full } = await response.json();
    if (signal.aborted) throw signal.reason;
    if (ended) return this.end();
    if (short) return invalid("Failed to read from step ReadableStream output. " + (broken?.message ?? "It broke off."));
    if (full) return this.#fail({ name: "WorkflowFatalError", message: full });
    return { stream: place };
  }

  #fail(failure) {
    this.end({ status: "errored", failure });
    throw fatal;
  }

  // stream is one that the step at a place has returned.
  async stream(place) {
    const response = await this.#service.fetch(`http://steps/${this.#token}/stream/${place}`);
    return response.ok ? response.body : this.end();
  }

  // output is what a step's answer says that it has returned.
  output({ stream, text }) {
    return stream ? this.stream(stream) : decode(text);
  }

  // know notes how a step is undone that has begun.
  know({ place, context }, undo) {
    this.undos.set(place, { ...undo, context });
    if (this.#unknown?.delete(place) && this.#unknown.size === 0) this.#know();
  }

  // rollBack undoes steps, up to the first that cannot be undone.
  async rollBack(failure) {
    const { undo = [], why } = await this.call("rollback", { failure });
    for (const place of undo) {
      const known = this.undos.get(place);
      const { rollback, config, context, answer } = known ?? {};
      const stepName = known && `${context.step.name}-${context.step.count}`;
      const error = why && new (builtin[why.name] ?? Error)(why.message);
      const delay = config?.retries?.delay;
      const dynamic = typeof delay === "function" ? delay : undefined;
      const begun = await this.call("undo", { place, config, dynamic: dynamic !== undefined, missing: !known });
      const { failure } = await this.attempts(begun, stepName, dynamic, async () => {
        await rollback({ ctx: structuredClone(context), error, output: answer && (await this.output(answer)), stepName });
      });
      if (failure) return;
    }
  }
}

class Step extends RpcTarget {
  #run;
  constructor(run) {
    super();
    this.#run = run;
  }

  async do(name, ...rest) {
    const [config, callback, options] = typeof rest[0] === "function" ? [undefined, ...rest] : rest;
    if (typeof callback !== "function") throw thrown({ name: "WorkflowFatalError", message: `Step "${name}" requires a callback function` });
    const undo = undoOf(name, options);
    const delay = typeof config?.retries?.delay === "function" ? config.retries.delay : undefined;
    const head = { ...this.#run.label("do", name), config, dynamic: delay !== undefined };
    if (undo) head.undo = { config: undo.config, dynamic: typeof undo.config?.retries?.delay === "function" };
    const begun = await this.#run.call("do", head);
    const known = (answer, attempt) => {
      if (undo && begun.step) this.#run.know({ ...begun.step, context: { ...begun.step.context, attempt } }, { ...undo, answer });
    };
    let attempt = begun.step?.context.attempt;
    known(begun.attempt || begun.failure ? undefined : begun, attempt);
    const answer = await this.#run.attempts(begun, name, delay, (context) => {
      known(undefined, (attempt = context.attempt));
      return callback(context);
    });
    if (answer.failure) throw thrown(answer.failure);
    known(answer, attempt);
    return this.#run.output(answer);
  }

  async sleep(name, duration) {
    const { failure } = await this.#run.call("sleep", { ...this.#run.label("sleep", name), duration });
    if (failure) throw thrown(failure);
  }

  async sleepUntil(name, timestamp) {
    const until = +new Date(timestamp);
    if (!Number.isFinite(until)) throw thrown({ name: "TypeError", message: `Invalid date "${timestamp}"` });
    const { failure } = await this.#run.call("sleep", { ...this.#run.label("sleep", name), until: Math.round(until) });
    if (failure) throw thrown(failure);
  }

  async waitForEvent(name, options) {
    const { type, timeout } = options;
    const { failure, event, text } = await this.#run.call("wait", { ...this.#run.label("wait", name), type: String(type), timeout });
    if (failure) throw thrown(failure);
    return { payload: decode(text), timestamp: new Date(event.timestamp), type: event.type };
  }
}

// undoOf reads how a step is undone. Its functions outlive the call that brought them.
function undoOf(name, options) {
  if (options === undefined) return undefined;
  const wrong = (what) => thrown({ name: "WorkflowFatalError", message: `Rollback ${what}` });
  if (typeof options !== "object" || options === null || Array.isArray(options)) throw wrong(`options for "${name}" must be an object`);
  const { rollback, rollbackConfig: config } = options;
  if (typeof rollback !== "function") throw wrong(`for "${name}" must be a function`);
  const own = (f) => f.dup?.() ?? f;
  const delay = config?.retries?.delay;
  return { rollback: own(rollback), config: typeof delay === "function" ? { ...config, retries: { ...config.retries, delay: own(delay) } } : config };
}

// framing puts the length of each part of a stream before it, in 4 bytes, and a zero
// at the end: the runtime ends a request in order whose body breaks off.
function framing() {
  const length = (n) => {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, n);
    return bytes;
  };
  return new TransformStream({
    transform(part, to) {
      if (part.byteLength === 0) return;
      to.enqueue(length(part.byteLength));
      to.enqueue(part);
    },
    flush(to) {
      to.enqueue(length(0));
    },
  });
}

// fatal is thrown where the run has been ended.
const fatal = new Error("the run has ended");

const builtin = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

// thrown is the error of a step, the same each time that the function runs: other
// names than JavaScript's own come in the message, as over RPC.
function thrown({ name, message }) {
  return builtin[name] ? new builtin[name](message) : new Error(`${name}: ${message}`);
}

const UNITS = { millisecond: 1, second: 1e3, minute: 6e4, hour: 36e5, day: 864e5, week: 6048e5, month: 2592e6, year: 31536e6 };

// pause asks a Worker's function how long to wait before the next attempt, in ms.
async function pause(delay, error, ctx) {
  const wrong = (what) => new Error(`The delay function for step "${ctx.step.name}-${ctx.step.count}" ${what}`);
  let value;
  try {
    const late = scheduler.wait(5000).then(() => wrong);
    value = await Promise.race([delay({ ctx, error }), late]);
  } catch (e) {
    throw wrong(`threw an error: ${e.message}`);
  }
  if (value === wrong) throw wrong("did not return within 5 seconds");
  if (typeof value === "string") {
    const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+?)s?\s*$/.exec(value);
    value = match ? Number(match[1]) * UNITS[match[2]] : NaN;
  }
  if (!Number.isFinite(value) || value < 0) throw wrong('returned an invalid delay value (expected a number of ms or a duration string like "30 seconds")');
  return value;
}

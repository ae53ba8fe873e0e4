// The event "workflow": it runs the function of an instance. clone.js comes before
// this in the module.
//
// head: { class, token, workflow, instance, timestamp, schedule? }, in milliseconds;
// body: the parameters. result: { status: "complete" }, with what the function has returned in
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
    const run = new Run(env["calls workflow"], head.token);
    return { outcome: "ok", ...(await Promise.race([run.over, finished(target, event, run)])) };
  };
}

async function finished(target, event, run) {
  try {
    return { result: { status: "complete" }, body: serialized(await target.run(event, new Step(run)), "run()") };
  } catch (e) {
    return { result: { status: "errored", failure: failureOf(e) } };
  }
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
  constructor(service, token) {
    this.#service = service;
    this.#token = token;
    this.over = new Promise((resolve) => (this.#end = resolve));
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
}

class Step extends RpcTarget {
  #run;
  constructor(run) {
    super();
    this.#run = run;
  }

  async do(name, config, callback) {
    if (typeof config === "function") [config, callback] = [undefined, config];
    if (typeof callback !== "function") throw thrown({ name: "WorkflowFatalError", message: `Step "${name}" requires a callback function` });
    const delay = typeof config?.retries?.delay === "function" ? config.retries.delay : undefined;
    let answer = await this.#run.call("do", { ...this.#run.label("do", name), config, dynamic: delay !== undefined });
    while (answer.attempt) {
      const { place, timeout, context } = answer.attempt;
      let text;
      try {
        text = await this.#attempt(callback, context, timeout, name);
      } catch (e) {
        if (e === fatal) return never;
        answer = await this.#failed(place, e, delay, context);
        continue;
      }
      answer = { ...(await this.#run.call("done", { place }, text)), text };
    }
    if (answer.failure) throw thrown(answer.failure);
    return decode(answer.text);
  }

  async #attempt(callback, context, timeout, name) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(named("WorkflowTimeoutError", `Execution timed out after ${timeout}ms`)), Math.min(timeout, longest));
    });
    let value;
    try {
      value = await Promise.race([callback(context), late]);
    } finally {
      clearTimeout(timer);
    }
    try {
      return serialized(value, `the step "${name}"`);
    } catch (e) {
      this.#run.end({ status: "errored", failure: failureOf(e) });
      throw fatal;
    }
  }

  async #failed(place, e, delay, context) {
    const head = { place, failure: failureOf(e) };
    if (delay !== undefined) {
      try {
        head.delay = await pause(delay, e, context);
      } catch (wrong) {
        // Its name keeps the step from being tried again.
        head.failure = { name: "NonRetryableDelayError", message: wrong.message };
      }
    }
    return this.#run.call("done", head);
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

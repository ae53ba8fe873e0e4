// What the runtime does not tell: which invocation, that is which run of a
// handler, a subrequest or a console line belongs to. This module is evaluated
// before the Worker's own ones, wraps what makes subrequests and console lines,
// and wraps the handlers so that an AsyncLocalStorage knows the invocation.
// Modules of ours in the cell know it by hop/ask/ask.js.
//
// settings = { subrequests, key, lines, classes, far }: the limit; a secret that
// keeps marks from being forged; whether lines are marked and exceptions
// written with their stacks; the names of the Durable Objects' classes, and of
// those whose objects are in another cell.
import { running } from "selvage:ask";
import context from "cloudflare-internal:env";
import workers from "cloudflare-internal:workers";

class Invocation {
  #subrequests = 0;
  points = 0; // data points written
  #mark;
  // Of a request no more than the Ray ID is kept: an invocation lives until the
  // collector comes by, and what it holds lives as long.
  constructor(event, handler) {
    this.ray = rayOf(event, handler);
  }
  // count counts a subrequest and throws where there is one too many.
  count() {
    if (++this.#subrequests > settings.subrequests) {
      throw new Error("Too many subrequests by single Worker invocation. To configure this limit, " +
        "refer to https://developers.cloudflare.com/workers/wrangler/configuration/#limits");
    }
  }
  // mark is how the Ray ID travels in texts; engine/invocation.go reads it.
  get mark() {
    return (this.#mark ??= "\x1e" + settings.key + this.ray.slice(0, 16).padEnd(16, "-"));
  }
}

// rayOf is the Ray ID of a request with its colo, or the id of an event that
// shim.js has tied to it; empty where there is none. The Worker sees the event
// without.
function rayOf(event, handler) {
  if (event instanceof Request) return event.headers.get("cf-ray") ?? "";
  switch (handler) {
    case "scheduled":
      return untie(event?.cron, (cron) => define(event, "cron", cron));
    case "queue":
      return untie(event?.queue, (queue) => define(event, "queue", queue));
    case "run":
      return untie(event?.workflowName, (name) => define(event, "workflowName", name));
    case "tail":
      return untie(Array.isArray(event) && event.at(-1), () => event.pop());
    case "email":
      for (const name in event) {
        const id = untie(name, () => delete event[name]);
        if (id !== "") return id;
      }
  }
  return "";
}

const tag = new RegExp("\x1e" + settings.key + "([0-9a-f]{16})$");

// untie reads the id at the end of a text and gives remove the text without.
function untie(text, remove) {
  const match = typeof text === "string" && tag.exec(text);
  if (!match) return "";
  remove(text.slice(0, match.index));
  return match[1];
}

const define = (object, name, value) => Object.defineProperty(object, name, { value, enumerable: true, configurable: true });

// replace puts a wrapper in the place of a method; owner is who has it.
function replace(object, name, wrapper, owner = object) {
  const property = Object.getOwnPropertyDescriptor(owner, name);
  if (typeof property?.value !== "function" || !(property.configurable || property.writable)) return;
  const method = wrapper(property.value, name);
  Object.defineProperty(method, "name", { value: property.value.name, configurable: true });
  Object.defineProperty(object, name, { ...property, value: method });
}

// subrequest wraps a method that returns a promise. pass(invocation, args)
// gives the arguments that carry the Ray ID.
const subrequest = (pass) => (method) =>
  function (...args) {
    const invocation = running.getStore();
    if (invocation === undefined) return method.apply(this, args);
    try {
      invocation.count();
    } catch (e) {
      return Promise.reject(e);
    }
    if (pass !== undefined && invocation.ray !== "") {
      try {
        args = pass(invocation, args);
      } catch {
        // Wrong arguments: the method itself reports them best.
      }
    }
    return method.apply(this, args);
  };

const plain = (x) => x === undefined || Object.getPrototypeOf(x) === Object.prototype;
const named = (headers) => {
  for (const name in headers) if (name.length === 6 && name.toLowerCase() === "cf-ray") return true;
  return false;
};

// asHeader puts the Ray ID into the arguments of fetch().
function asHeader({ ray }, args) {
  const [input, init] = args;
  if (typeof input === "string" && plain(init)) {
    let headers = init?.headers;
    if (plain(headers) && !named(headers)) {
      headers = { ...headers, "CF-Ray": ray };
    } else {
      headers = new Headers(headers);
      headers.set("CF-Ray", ray);
    }
    return [input, { ...init, headers }];
  }
  if (init === undefined && input.headers.get("cf-ray") === ray) return args;
  const request = new Request(input, init);
  request.headers.set("CF-Ray", ray);
  return [request];
}

// asKey puts it behind the key of a call to KV, whose client sends no headers.
// A key that is long or that KV refuses goes without.
function asKey(invocation, [key, ...rest]) {
  if (typeof key === "string" && key.length > 2 && key.length < 150) key += invocation.mark;
  return [key, ...rest];
}

replace(globalThis, "fetch", subrequest(asHeader), Object.hasOwn(globalThis, "fetch") ? globalThis : Object.getPrototypeOf(globalThis));
replace(workers.ServiceStub.prototype, "fetch", subrequest(asHeader)); // also Durable Objects, assets
for (const name of ["match", "put", "delete"]) replace(Cache.prototype, name, subrequest());

// point counts what an invocation writes to Analytics Engine.
//
// Source: https://developers.cloudflare.com/analytics/analytics-engine/limits/
const maxPoints = 250;
const point = (method) => function (...args) {
  const invocation = running.getStore();
  if (invocation !== undefined && ++invocation.points > maxPoints) {
    throw new Error(`Too many data points by single Worker invocation: Analytics Engine takes ${maxPoints}.`);
  }
  return method.apply(this, args);
};

const types = new Set(); // of bindings, that have been looked at
for (const binding of Object.values(context.getCurrentEnv() ?? {})) {
  const type = binding !== null && typeof binding === "object" ? Object.getPrototypeOf(binding) : null;
  if (type === null || types.has(type)) continue;
  types.add(type);
  switch (Object.getOwnPropertyDescriptor(type, "constructor")?.value.name) {
    case "KvNamespace":
      for (const name of ["get", "getWithMetadata", "put", "delete"]) replace(type, name, subrequest(asKey));
      replace(type, "list", subrequest());
      break;
    case "AnalyticsEngine":
      replace(type, "writeDataPoint", point);
  }
}

const write = console.error;

if (settings.lines) {
  for (const level of ["debug", "error", "info", "log", "warn"]) {
    replace(console, level, (method) => function (...args) {
      const invocation = running.getStore();
      if (invocation !== undefined && invocation.ray !== "") {
        // A text stays the first argument: it may hold the format of the others.
        if (typeof args[0] === "string") args[0] = invocation.mark + "\x1e" + args[0];
        else args.unshift(invocation.mark + "\x1f");
      }
      return method.apply(this, args);
    });
  }
}

// report writes an exception that leaves an invocation: the runtime's own line
// about it has no stack.
function report(exception) {
  let text;
  try {
    text = typeof exception?.stack === "string" ? exception.stack : String(exception);
  } catch {
    return; // a getter of the Worker's own that throws
  }
  write.call(console, running.getStore().mark + "\x1d" + text);
}

// call calls a handler: a method whose exceptions reach nobody but the log.
function call(handler, self, args) {
  try {
    const result = Reflect.apply(handler, self, args);
    if (result instanceof Promise) result.then(undefined, report);
    return result;
  } catch (e) {
    report(e);
    throw e;
  }
}

// within wraps a method so that it runs as an invocation; one that runs within
// an invocation already is an ordinary function.
const within = (run) => (method, name) =>
  function (...args) {
    if (running.getStore() !== undefined) return method.apply(this, args);
    return running.run(new Invocation(args[0], name), run, method, this, args);
  };
const entered = within(Reflect.apply);
const handled = settings.lines ? within(call) : entered;

// stepped wraps the function of a Workflow. Those of its steps, which RPC calls, run
// as what they are parts of; and a step of a run that has been ended stays pending,
// where RPC would have the function go on with an exception.
const stepped = (method, name) => handled(function (event, step) {
  const invocation = running.getStore();
  const bound = (x) => (typeof x === "function" ? (...args) => running.run(invocation, x, ...args) : x);
  const steps = {};
  for (const type of ["do", "sleep", "sleepUntil", "waitForEvent"]) {
    steps[type] = async (...args) => {
      try {
        return await step[type](...args.map(bound));
      } catch (e) {
        if (e?.message === "The execution context responding to this call was canceled.") return new Promise(() => {});
        throw e;
      }
    };
  }
  return method.call(this, event, steps);
}, name);

const handlers = ["fetch", "connect", "scheduled", "queue", "email", "tail", "tailStream", "trace", "alarm", "test"];
const bases = [workers.WorkerEntrypoint, workers.DurableObject, workers.WorkflowEntrypoint].map((base) => base.prototype);
const wrapped = new WeakSet([...bases, Object.prototype, Function.prototype]);

// enter wraps the handlers among the exports of the Worker's main module, in
// place, and returns the default one. The classes of Durable Objects need not
// extend anything.
export function enter(exports) {
  for (const [name, value] of Object.entries(exports)) {
    if (typeof value === "function" && (bases.some((base) => base.isPrototypeOf(value.prototype)) || settings.classes.includes(name))) {
      for (let type = value.prototype; type && !wrapped.has(type); type = Object.getPrototypeOf(type)) {
        wrapped.add(type);
        const workflow = workers.WorkflowEntrypoint.prototype.isPrototypeOf(type);
        for (const method of Object.getOwnPropertyNames(type)) {
          if (method === "constructor") continue;
          replace(type, method, workflow && method === "run" ? stepped : handlers.includes(method) ? handled : entered);
        }
      }
    } else if (value !== null && typeof value === "object" && !wrapped.has(value)) {
      wrapped.add(value);
      for (const method of handlers) {
        // An inherited handler is overridden in the object, not in its class.
        if (typeof value[method] !== "function") continue;
        if (Object.hasOwn(value, method)) replace(value, method, handled);
        else if (Object.isExtensible(value)) value[method] = handled(value[method], method);
      }
    }
  }
  return exports.default ?? {};
}

// gates lead to the objects in another cell, by class. The Worker's env is
// without them.
export const gates = {};
const env = context.getCurrentEnv();
for (const name of settings.far ?? []) {
  gates[name] = env["selvage " + name];
  delete env["selvage " + name];
}

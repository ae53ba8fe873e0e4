// The binding of a Workflow. clone.js comes before this in the module.
//
// A call is POST /<verb>; its body is lines of JSON and of values, its answer the
// same. The answer of one that is refused is the text of an error.

class InstanceImpl {
  #service;
  constructor(service, id) {
    this.#service = service;
    this.id = id;
  }

  async pause() {
    await call(this.#service, "pause", [{ id: this.id }]);
  }

  async resume() {
    await call(this.#service, "resume", [{ id: this.id }]);
  }

  async terminate(options) {
    await call(this.#service, "terminate", [{ id: this.id, rollback: options?.rollback === true }]);
  }

  async restart(options) {
    await call(this.#service, "restart", [{ id: this.id, from: options?.from }]);
  }

  async delete() {
    await call(this.#service, "delete", [{ ids: [this.id] }]);
  }

  async status() {
    const [{ status, error, steps }, text] = await call(this.#service, "status", [{ id: this.id }]);
    const [output, ...outputs] = text.split("\n");
    return {
      status,
      // Only under `selvage dev`, as under `wrangler dev`.
      ...(steps !== undefined && { __LOCAL_DEV_STEP_OUTPUTS: outputs.slice(0, steps).map(decode) }),
      output: decode(output) ?? null,
      ...(error && { error }),
    };
  }

  async sendEvent({ type, payload }) {
    await call(this.#service, "event", [{ id: this.id, type: String(type) }, value(payload)]);
  }

  async subscribe(options = {}) {
    if (!isSubscription(options)) throw new Error("Invalid Workflow subscription options");
    const { cursor = 0, filter } = options;
    await call(this.#service, "subscribe", [{ id: this.id, cursor, filter }]);
    return new Subscription(this.#service, this.id, cursor, filter);
  }
}

// isSubscription checks the options but for the names of events.
function isSubscription(options) {
  if (typeof options !== "object" || options === null || Array.isArray(options)) return false;
  const { cursor, filter, ...rest } = options;
  return (
    Object.keys(rest).length === 0 &&
    (cursor === undefined || (Number.isSafeInteger(cursor) && cursor >= 0)) &&
    (filter === undefined || (Array.isArray(filter) && filter.every((type) => typeof type === "string")))
  );
}

// Subscription asks for events when next() has none left.
class Subscription {
  #service;
  #id;
  #cursor;
  #filter;
  #events = [];
  #over = false; // no more are to be asked for
  #turn = Promise.resolve();
  #closed = new AbortController();
  constructor(service, id, cursor, filter) {
    this.#service = service;
    this.#id = id;
    this.#cursor = cursor;
    this.#filter = filter;
  }

  // next waits for its turn: several may be called at once.
  next() {
    const next = this.#turn.then(() => this.#next());
    this.#turn = next.catch(() => {});
    return next;
  }

  async #next() {
    try {
      while (!this.#closed.signal.aborted && this.#events.length === 0 && !this.#over) await this.#ask();
    } catch (e) {
      if (!this.#closed.signal.aborted) {
        this.#over = true;
        throw e;
      }
    }
    if (this.#closed.signal.aborted || this.#events.length === 0) return { done: true, value: undefined };
    return { done: false, value: await this.#events.shift()() };
  }

  async #ask() {
    const line = { id: this.#id, cursor: this.#cursor, filter: this.#filter };
    const [{ events, cursor, done = false }, text] = await call(this.#service, "next", [line], this.#closed.signal);
    const values = text.split("\n");
    this.#events = events.map(({ stream, ...event }, i) => async () => {
      if (stream) return { ...event, output: await this.#stream(stream) };
      const field = VALUES[event.type];
      return field && values[i] ? { ...event, [field]: decode(values[i]) } : event;
    });
    this.#cursor = cursor;
    this.#over = done;
  }

  async #stream(place) {
    const response = await post(this.#service, "stream", [{ id: this.#id, place }], this.#closed.signal);
    return response.body;
  }

  [Symbol.dispose]() {
    this.#closed.abort();
  }
}

// VALUES are the names of values, by the types of events that have one.
const VALUES = { workflow_started: "params", workflow_completed: "output", step_completed: "output" };

class WorkflowImpl {
  #service;
  constructor(service) {
    this.#service = service;
  }

  async get(id) {
    await call(this.#service, "get", [{ id: String(id) }]);
    return new InstanceImpl(this.#service, id);
  }

  async create(options = {}) {
    const [{ created }] = await call(this.#service, "create", entry(options));
    return new InstanceImpl(this.#service, created[0].id);
  }

  async createBatch(options) {
    const list = Array.isArray(options);
    if (list) options = { instances: options.map(({ retention, locationHint, ...entry }) => entry) };
    let { instances, count, params, retention } = options ?? {};
    if (options && "count" in options) {
      if (!Number.isInteger(count) || count < 1) throw refused("body", "count must be a positive integer");
      if (count > MAX_BATCH) throw refused("body", `batchCreate only supports ${MAX_BATCH} instances at a time`);
      instances = Array.from({ length: count }, () => ({ params, retention }));
    } else if (!Array.isArray(instances)) {
      throw refused("body", "Provided argument is invalid");
    } else if (list && instances.length === 0) {
      throw new Error("WorkflowError: batchCreate should have at least 1 instance");
    } else if (list && instances.length > MAX_BATCH) {
      throw new Error(`WorkflowError: batchCreate only supports ${MAX_BATCH} instances at a time`);
    } else if (instances.length === 0 || instances.length > MAX_BATCH) {
      throw refused("body", "Batch size exceeds maximum allowed");
    }
    for (const [i, x] of instances.entries()) {
      if (typeof x !== "object" || x === null || Array.isArray(x)) {
        throw refused("body", `Invalid input: expected object, received ${Array.isArray(x) ? "array" : x === null ? "null" : typeof x}`);
      }
    }
    const [{ created, errors }] = await call(this.#service, list ? "create?list" : "create?batch", instances.flatMap(entry));
    const made = created.map(({ id }) => new InstanceImpl(this.#service, id));
    return list ? made : { created: made, errors };
  }

  async deleteBatch(ids) {
    if (!Array.isArray(ids)) throw refused("body", "Provided argument is invalid");
    if (ids.length > MAX_BATCH) throw refused("body", `batchDeleteInstances only supports ${MAX_BATCH} instances at a time`);
    if (ids.length === 0) throw refused("body", "batchDeleteInstances should have at least 1 instance");
    const [answer] = await call(this.#service, "delete?batch", [{ ids: ids.map(String) }]);
    return answer;
  }
}

const MAX_BATCH = 100;

const refused = (word, text) => new Error(`WorkflowError: (${word}) ${text}`);

// entry describes an instance to create, in two lines. An id that is no text is one
// that no instance can have.
function entry(options) {
  const { params, retention } = options;
  const head = { retention };
  if (options.id !== undefined) head.id = typeof options.id === "string" ? options.id : "";
  return [head, value(params ?? {})];
}

// value is a line of a value: of one that cannot be stored as JSON what clone.js
// makes of it.
const value = (x) => ({ [TEXT]: encode(x) });
const TEXT = Symbol("text");

async function post(service, verb, lines, signal) {
  const body = lines.map((line) => line[TEXT] ?? JSON.stringify(line)).join("\n");
  const response = await service.fetch("http://workflow/" + verb, { method: "POST", body, signal });
  if (!response.ok) throw new Error(await response.text());
  return response;
}

async function call(service, verb, lines, signal) {
  const text = await (await post(service, verb, lines, signal)).text();
  const at = text.indexOf("\n");
  return [JSON.parse(text.slice(0, at)), text.slice(at + 1)];
}

export default ({ service }) => new WorkflowImpl(service);

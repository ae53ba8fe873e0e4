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

  async terminate() {
    await call(this.#service, "terminate", [{ id: this.id }]);
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

  async subscribe() {
    throw new Error("subscribe() is not supported here; ask status() instead");
  }
}

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

async function call(service, verb, lines) {
  const body = lines.map((line) => line[TEXT] ?? JSON.stringify(line)).join("\n");
  const response = await service.fetch("http://workflow/" + verb, { method: "POST", body });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  const at = text.indexOf("\n");
  return [JSON.parse(text.slice(0, at)), text.slice(at + 1)];
}

export default ({ service }) => new WorkflowImpl(service);

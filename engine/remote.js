// Durable Objects across processes. The objects of a class are in one process; in
// others there is a class of the same key, whose instances store nothing and pass
// on what they are asked. So ids and stubs are the runtime's own everywhere.
//
// A call goes: stub, instance of remote() in the caller's process, Gate in the
// objects' process, object.
import workers from "cloudflare-internal:workers";

// remote makes a class. gate(env) gives the service that leads to the other
// process.
export const remote = (gate) => class extends workers.DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    return new Proxy(this, new Far(ctx, gate(env)));
  }
};

// Far has the traps of an instance's proxy.
class Far {
  #address;
  #ctx;
  #gate;
  #object; // there; undefined while there is no connection

  constructor(ctx, gate) {
    const { id } = ctx;
    this.#address = id.name === undefined ? { id: id.toString() } : { name: id.name };
    this.#ctx = ctx;
    this.#gate = gate;
  }

  get(target, name) {
    if (name === "fetch") return this.#fetch;
    if (typeof name !== "string" || name === "then" || own.has(name)) return Reflect.get(target, name);
    return forward(() => this.#connected()[name], this.#failed);
  }

  // connected is the object there. It is kept: to ask for it costs as much as a call.
  #connected() {
    if (this.#object === undefined) {
      // Both come over one connection. Each call of the gate may take one of its
      // own, and those may end in different processes.
      const { object, life } = this.#gate.reach(this.#address);
      this.#object = object;
      const lost = () => {
        if (this.#object === object) this.#object = undefined;
      };
      life.never().then(lost, lost);
    }
    return this.#object;
  }

  #failed = (e) => {
    const { message, reset } = unpack(e);
    if (reset) this.#ctx.abort(message);
    throw e;
  };

  #fetch = async (request) => {
    const headers = new Headers(request.headers);
    headers.set("Selvage-Object", JSON.stringify(this.#address));
    const response = await this.#gate.fetch(new Request(request, { headers }));
    const thrown = response.headers.get("Selvage-Thrown");
    if (thrown === null) return response;
    const { type, message, reset } = JSON.parse(decodeURIComponent(thrown));
    if (reset) this.#ctx.abort(message);
    throw new (errors.get(type) ?? Error)(message);
  };
}

// What the runtime calls on its own, and only here.
const own = new Set(["alarm", "webSocketMessage", "webSocketClose", "webSocketError", "constructor"]);

const errors = new Map([EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((type) => [type.name, type]));

const gets = new WeakMap();

// Remote stands for an object. Whatever is asked of it is asked of the object,
// by a stub of its own each time: a stub is broken for good once its object has
// been reset.
class Remote extends workers.RpcTarget {
  constructor(get) {
    super();
    gets.set(this, get);
  }
}

// RPC looks for methods along the prototypes.
Object.setPrototypeOf(Remote.prototype, new Proxy(workers.RpcTarget.prototype, {
  get(target, name, self) {
    const get = gets.get(self);
    // A target that has then() is taken for a promise.
    if (get === undefined || typeof name !== "string" || name === "then") return Reflect.get(target, name, self);
    return forward(() => get()[name], pack);
  },
}));

// Life is that of a connection.
class Life extends workers.RpcTarget {
  // never returns, so that the caller learns of the end of the connection.
  async never() {
    for (;;) await scheduler.wait(1 << 30);
  }
}

// Gate leads to the objects of one class, and to nothing else of its process: a
// socket of its own for each class that is bound elsewhere ends here. props =
// { class } or, if there is none, { absent }, the reason.
export class Gate extends workers.WorkerEntrypoint {
  // stub finds the object of an address, { id } or { name }.
  #stub({ id, name }) {
    const { absent, class: type } = this.ctx.props;
    if (absent !== undefined) throw new Error(absent);
    const namespace = this.env[type];
    return namespace.get(name === undefined ? namespace.idFromString(id) : namespace.idFromName(name));
  }

  object(address) {
    return new Remote(() => this.#stub(address));
  }

  reach(address) {
    return { object: this.object(address), life: new Life() };
  }

  async fetch(request) {
    const headers = new Headers(request.headers);
    const address = headers.get("Selvage-Object");
    for (const name of ["Selvage-Object", "Host"]) headers.delete(name); // an object gets no Host
    try {
      return await this.#stub(JSON.parse(address)).fetch(new Request(request, { headers }));
    } catch (e) {
      return new Response(null, { status: 500, headers: { "Selvage-Thrown": encodeURIComponent(JSON.stringify(describe(e))) } });
    }
  }
}

// forward stands for a method or property of another object, which of() gives:
// called, it is called; awaited, it is read; and it has properties in turn, as a
// property of a stub does. A call that fails throws what failed makes of it.
function forward(of, failed) {
  return new Proxy(function () {}, {
    apply: (target, self, args) => of()(...args).catch(failed),
    get(target, name) {
      if (name === "then") {
        const value = of().then((x) => x, failed);
        return value.then.bind(value);
      }
      return typeof name === "string" ? forward(() => of()[name], failed) : Reflect.get(target, name);
    },
    // RPC asks for the own properties of functions.
    getOwnPropertyDescriptor: (target, name) =>
      Reflect.getOwnPropertyDescriptor(target, name) ??
      (typeof name === "string" ? { value: undefined, configurable: true, enumerable: true, writable: true } : undefined),
  });
}

// An exception crosses RPC as its type and message, and loses that the object
// was reset.
const describe = (e) => ({ type: e?.name, message: e?.message ?? String(e), reset: e?.durableObjectReset === true });

const mark = "\x1ereset\x1e";

// pack throws the exception with that in its message; unpack is the opposite.
function pack(e) {
  throw e?.durableObjectReset === true ? new Error(mark + e.message) : e;
}

function unpack(e) {
  const reset = typeof e?.message === "string" && e.message.startsWith(mark);
  return { message: reset ? e.message.slice(mark.length) : e?.message, reset };
}

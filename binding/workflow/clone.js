// Texts of values that structuredClone can copy: empty for undefined, JSON where
// that says it all, and else a tilde and a JSON list of nodes, the first of which
// is the root. A node is [tag, ...]; numbers that stand for other nodes are their
// places in the list. value.go reads it, too.

export function encode(value) {
  value = structuredClone(value);
  if (value === undefined) return "";
  if (simple(value, new Set())) return JSON.stringify(value);
  return "~" + JSON.stringify(nodes(value));
}

export function decode(text) {
  if (text === "") return undefined;
  if (text[0] !== "~") return JSON.parse(text);
  return new Reader(JSON.parse(text.slice(1))).at(0);
}

// simple reports whether JSON gives back exactly the value.
function simple(value, seen) {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0);
    case "object": {
      if (value === null) return true;
      if (seen.has(value)) return false;
      seen.add(value);
      if (Array.isArray(value)) {
        const keys = Object.keys(value);
        return keys.length === value.length && value.every((x) => simple(x, seen));
      }
      if (Object.getPrototypeOf(value) !== Object.prototype) return false;
      return Object.values(value).every((x) => simple(x, seen));
    }
  }
  return false;
}

function nodes(root) {
  const list = [];
  const places = new Map();
  const add = (value) => {
    if (typeof value !== "object" || value === null) return list.push(primitive(value)) - 1;
    let place = places.get(value);
    if (place === undefined) {
      places.set(value, (place = list.push(null) - 1));
      list[place] = object(value, add);
    }
    return place;
  };
  add(root);
  return list;
}

function primitive(value) {
  switch (typeof value) {
    case "undefined":
      return ["u"];
    case "bigint":
      return ["b", String(value)];
    case "number":
      if (!Number.isFinite(value) || Object.is(value, -0)) return ["n", Object.is(value, -0) ? "-0" : String(value)];
  }
  return ["j", value];
}

function object(value, add) {
  if (Array.isArray(value)) return ["a", ...Array.from(value, (x, i) => (i in value ? add(x) : -1))];
  if (value instanceof Date) return ["d", Number.isNaN(+value) ? null : +value];
  if (value instanceof Map) return ["m", ...[...value].flatMap(([k, v]) => [add(k), add(v)])];
  if (value instanceof Set) return ["t", ...[...value].map(add)];
  if (value instanceof RegExp) return ["r", value.source, value.flags];
  if (value instanceof ArrayBuffer) return ["x", new Uint8Array(value).toBase64()];
  if (ArrayBuffer.isView(value)) {
    const length = value instanceof DataView ? value.byteLength : value.length;
    return ["v", value.constructor.name, add(value.buffer), value.byteOffset, length];
  }
  if (value instanceof Error) {
    const cause = "cause" in value ? [add(value.cause)] : [];
    return ["e", value.name, value.message, value.stack ?? "", ...cause];
  }
  if ([Number, String, Boolean, BigInt].some((type) => value instanceof type)) return ["p", add(value.valueOf())];
  if (Object.getPrototypeOf(value) !== Object.prototype) {
    throw new DOMException(`${value.constructor?.name ?? "The value"} cannot be stored`, "DataCloneError");
  }
  return ["o", ...Object.entries(value).flatMap(([k, v]) => [k, add(v)])];
}

const views = { DataView, Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array };
const errors = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

class Reader {
  #nodes;
  #made = new Map();
  constructor(nodes) {
    this.#nodes = nodes;
  }

  at(place) {
    if (!this.#made.has(place)) this.#make(place, this.#nodes[place]);
    return this.#made.get(place);
  }

  // #make notes an object before it makes what is in it, which may refer to it.
  #make(place, [tag, ...args]) {
    const note = (value) => (this.#made.set(place, value), value);
    switch (tag) {
      case "j":
        return note(args[0]);
      case "u":
        return note(undefined);
      case "b":
        return note(BigInt(args[0]));
      case "n":
        return note(Number(args[0]));
      case "d":
        return note(new Date(args[0] ?? NaN));
      case "r":
        return note(new RegExp(args[0], args[1]));
      case "x":
        return note(Uint8Array.fromBase64(args[0]).buffer);
      case "v":
        return note(new views[args[0]](this.at(args[1]), args[2], args[3]));
      case "p":
        return note(Object(this.at(args[0])));
      case "a": {
        const list = note(new Array(args.length));
        args.forEach((ref, i) => ref >= 0 && (list[i] = this.at(ref)));
        return;
      }
      case "o": {
        const object = note({});
        for (let i = 0; i < args.length; i += 2) {
          Object.defineProperty(object, args[i], { value: this.at(args[i + 1]), writable: true, enumerable: true, configurable: true });
        }
        return;
      }
      case "m": {
        const map = note(new Map());
        for (let i = 0; i < args.length; i += 2) map.set(this.at(args[i]), this.at(args[i + 1]));
        return;
      }
      case "t": {
        const set = note(new Set());
        for (const ref of args) set.add(this.at(ref));
        return;
      }
      case "e": {
        const [name, message, stack, cause] = args;
        const error = note(new (errors[name] ?? Error)(message));
        Object.defineProperty(error, "stack", { value: stack, writable: true, configurable: true });
        if (cause !== undefined) Object.defineProperty(error, "cause", { value: this.at(cause), writable: true, configurable: true });
        return;
      }
    }
    throw new Error(`no such node: ${tag}`);
  }
}

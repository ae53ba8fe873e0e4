// describe tells everything that a Worker could notice of a value. uneven are
// the names of properties of which only the type is told.
export function describe(value, uneven = [], seen = []) {
  if (value === null || (typeof value !== "object" && typeof value !== "function")) {
    return Object.is(value, -0) ? "-0" : typeof value === "string" ? JSON.stringify(value) : `${typeof value} ${String(value)}`;
  }
  if (seen.includes(value)) return "seen";
  const inner = (value) => describe(value, uneven, [...seen, value]);
  if (typeof value === "function") return `function ${value.name}/${value.length} ${value.constructor.name}`;
  if (value instanceof ArrayBuffer) return `ArrayBuffer of ${value.byteLength}, ${new Uint8Array(value.slice(0, 16))}`;
  const type = Object.getPrototypeOf(value)?.constructor.name;
  if (value instanceof Map) return `Map{${[...value].map(([k, v]) => inner(k) + ":" + inner(v)).join(",")}}`;
  if (value instanceof Error) {
    const own = Object.getOwnPropertyNames(value).filter((name) => name !== "stack").sort();
    return `${type} ${own.map((name) => name + "=" + inner(value[name])).join(" ")}`;
  }
  const names = Object.getOwnPropertyNames(value);
  return `${type}{${names.map((name) => name + ":" + (uneven.includes(name) ? typeof value[name] : inner(value[name]))).join(",")}}`;
}

// attempt tells what a call gives: at once or by a promise, a value or an error.
export async function attempt(f, uneven) {
  let promise;
  try {
    promise = f();
  } catch (e) {
    return "throws " + describe(e, uneven);
  }
  if (!(promise instanceof Promise)) return describe(promise, uneven);
  try {
    return "resolves " + describe(await promise, uneven);
  } catch (e) {
    return "rejects " + describe(e, uneven);
  }
}

// surface is what can be seen of an object without calling it.
export function surface(object) {
  const all = [];
  for (let type = object; type !== Object.prototype && type !== null; type = Object.getPrototypeOf(type)) {
    const list = Object.entries(Object.getOwnPropertyDescriptors(type))
      .filter(([name]) => !name.startsWith("_"))
      .map(([name, p]) => `${name} ${describe(p.value)} ${p.writable} ${p.enumerable} ${p.configurable}`);
    all.push(type.constructor.name, ...list.sort());
  }
  return all;
}

// A KV binding is the runtime's own client with a shorter way to read a value: a
// short one comes in a header, by hop/ask. The client would wait for a body.
import { fetch, short } from "selvage:ask";

const fetchers = new WeakMap(); // of each namespace

const decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // which text() obeys at some dates

let native;

function shorten(type) {
  if (native !== undefined) return;
  native = type.get;
  const get = function (key, options) {
    const fetcher = fetchers.get(this);
    const as = fetcher !== undefined && plain(key) ? typeOf(options) : undefined;
    return as === undefined ? native.apply(this, arguments) : read(fetcher, key, as);
  };
  for (const name of ["name", "length"]) Object.defineProperty(get, name, Object.getOwnPropertyDescriptor(native, name));
  Object.defineProperty(type, "get", { ...Object.getOwnPropertyDescriptor(type, "get"), value: get });
}

// plain is whether a key has nothing about it that the client would refuse. One
// character is at most three bytes, and keys have at most 512.
const plain = (key) => typeof key === "string" && key.length <= 170 && key !== "" && key !== "." && key !== ".." && key.isWellFormed();

// typeOf is "text" or "json" if that is all that options say.
function typeOf(options) {
  if (options === undefined) return "text";
  if (typeof options === "object" && options !== null && Object.getPrototypeOf(options) === Object.prototype) {
    const names = Reflect.ownKeys(options);
    if (names.length === 1 && names[0] === "type") options = options.type;
  }
  return options === "text" || options === "json" ? options : undefined;
}

async function read(fetcher, key, as) {
  const response = await fetch.call(fetcher, "http://kv/" + encodeURIComponent(key) + "?urlencoded=true&short");
  let value = short(response);
  if (value === null) {
    const { status } = response;
    if (status === 404 || status === 410) return null;
    if (status !== 200) throw new Error(`KV GET failed: ${status} ${response.statusText}`);
    value = decoder.decode(await response.arrayBuffer());
  }
  return as === "json" ? JSON.parse(value) : value;
}

export default function ({ namespace, fetcher }) {
  fetchers.set(namespace, fetcher);
  shorten(Object.getPrototypeOf(namespace));
  return namespace;
}

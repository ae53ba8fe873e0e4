// Every value is read through OURS, which has the shorter way, and through
// THEIRS, which is the runtime's client alone. The answer is what differed.
import { attempt, surface } from "./describe.js";

const encoder = new TextEncoder();
const values = {
  ascii: "a value", space: " ", "spaces at the ends": " a ", empty: "", tab: "a\tb", lines: "a\r\nb", nul: "a\0b", delete: "a\x7fb", quotes: '"\\',
  latin: "ü", beyond: "🙂 \u2028", "byte order mark": "\ufeffa", "byte order mark in JSON": '\ufeff{"a":1}', "not UTF-8": new Uint8Array([0xff, 0x61, 0xc3]), "cut off": new Uint8Array([0xf0, 0x9f]),
  number: "5", object: '{"a":[1,"ü",null]}', string: '"text"', null: "null", "not JSON": "{a:1}", "spaces around JSON": ' {"a":1} ', "4096": "x".repeat(4096), "4097": "x".repeat(4097), long: "long ".repeat(100_000),
};
const keys = [
  "a", "ascii", "absent", "", ".", "..", "...", "/", "//", "a/b", "../a", "bulk/get", " ", "a b", "ü", "🙂", "\ud800", "%", "%2F", "a%00b", "?", "#", "&a=b", "+", "\0", "\n", "\x1e",
  "k".repeat(170), "k".repeat(171), "🙂".repeat(85), "€".repeat(170), "k".repeat(512), "k".repeat(513), "€".repeat(171), undefined, null, 5, true, {}, [], ["ascii", "absent"], Symbol("s"),
];
const options = {
  none: [], undefined: [undefined], null: [null], text: ["text"], json: ["json"], arrayBuffer: ["arrayBuffer"], stream: ["stream"], unknown: ["unknown"], empty: [{}], number: [5], list: [[]],
  "{text}": [{ type: "text" }], "{json}": [{ type: "json" }], "{stream}": [{ type: "stream" }], "{undefined}": [{ type: undefined }], "{unknown}": [{ type: "unknown" }],
  "{json, cacheTtl}": [{ type: "json", cacheTtl: 60 }], "{cacheTtl}": [{ cacheTtl: 60 }], "{cacheTtl too short}": [{ cacheTtl: 1 }], "{json, something}": [{ type: "json", something: 1 }],
  inherited: [Object.create({ type: "json" })], "no prototype": [Object.assign(Object.create(null), { type: "json" })], "three arguments": ["text", "json"],
};

async function read(kv, key, list) {
  const value = await kv.get(key, ...list);
  return value instanceof ReadableStream ? ["stream", await new Response(value).text()] : value;
}

export default {
  async fetch(request, { OURS, THEIRS }) {
    const out = [];
    let resolved = 0;
    const compare = async (name, f) => {
      const [ours, theirs] = [await attempt(() => f(OURS)), await attempt(() => f(THEIRS))];
      if (ours.startsWith("resolves")) resolved++;
      if (ours !== theirs) out.push(`${name}\n  ours:   ${ours.slice(0, 500)}\n  theirs: ${theirs.slice(0, 500)}\n`);
    };
    await compare("surface", (kv) => surface(kv));
    for (const [key, value] of Object.entries(values)) {
      await THEIRS.put(key, value, { metadata: { of: key } });
      for (const [name, list] of Object.entries(options)) await compare(`value ${key}, options ${name}`, (kv) => read(kv, key, list));
    }
    for (const key of keys) {
      for (const name of ["none", "json", "{text}"]) await compare(`absent key ${String(key)}, options ${name}`, (kv) => read(kv, key, options[name]));
      await attempt(() => THEIRS.put(key, JSON.stringify(String(key)))); // some keys are refused
      for (const name of ["none", "json", "{text}", "{cacheTtl}"]) await compare(`key ${String(key)}, options ${name}`, (kv) => read(kv, key, options[name]));
    }
    for (const key of ["fails 400", "fails 410", "fails 429", "fails 503", "fails 200", "breaks"]) await compare(key, (kv) => kv.get(key));
    await compare("without this", (kv) => { const { get } = kv; return get("ascii"); });
    await compare("of another object", (kv) => kv.get.call({}, "ascii"));
    await compare("without arguments", (kv) => kv.get());
    await compare("at once", (kv) => Promise.all(Array.from({ length: 40 }, () => kv.get("ascii"))));
    await compare("structured clone", (kv) => structuredClone(kv));
    await compare("JSON", (kv) => JSON.stringify(kv));
    await compare("with metadata", (kv) => kv.getWithMetadata("ascii"));
    await compare("list", (kv) => kv.list({ limit: 3 }));
    return new Response(out.join("\n"), { headers: { resolved } });
  },
};

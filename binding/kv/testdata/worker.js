const results = {};
async function step(name, f) {
  try { results[name] = await f(); } catch (e) { results[name] = String(e); }
}
const stream = (text, times) => new ReadableStream({
  type: "bytes",
  pull(c) { if (times-- > 0) c.enqueue(new TextEncoder().encode(text)); else c.close(); },
});
export default {
  async fetch(request, env) {
    const kv = env.KV;
    await step("absent", () => kv.get("absent"));
    await step("put text", () => kv.put("a/b c?%ü", "text"));
    await step("get text", () => kv.get("a/b c?%ü"));
    await step("put json", () => kv.put("json", JSON.stringify({ n: 1 }), { metadata: { who: "Zoë", list: [1, "x"] } }));
    await step("get json", () => kv.get("json", "json"));
    await step("get buffer", async () => (await kv.get("json", { type: "arrayBuffer", cacheTtl: 60 })).byteLength);
    await step("get stream", async () => await new Response(await kv.get("json", "stream")).text());
    await step("getWithMetadata", () => kv.getWithMetadata("json", "json"));
    await step("getWithMetadata absent", () => kv.getWithMetadata("absent"));
    await step("put string metadata", () => kv.put("meta", "", { metadata: "just text" }));
    await step("get string metadata", () => kv.getWithMetadata("meta"));
    await step("put buffer", () => kv.put("buffer", new Uint8Array([0, 1, 255])));
    await step("get buffer bytes", async () => [...new Uint8Array(await kv.get("buffer", "arrayBuffer"))]);
    await step("put stream", () => kv.put("stream", stream("0123456789", 20000)));
    await step("get big", async () => { const s = await kv.get("stream"); return [s.length, s === "0123456789".repeat(20000)]; });
    await step("put ttl", () => kv.put("ttl", "v", { expirationTtl: 60 }));
    await step("put expiration", () => kv.put("exp", "v", { expiration: 2000000000 }));
    await step("bulk get", async () => Object.fromEntries(await kv.get(["json", "absent", "meta"])));
    await step("bulk get json", async () => Object.fromEntries(await kv.get(["json", "absent"], "json")));
    await step("bulk get order", async () => [...(await kv.get(["meta", "absent", "json", "meta", "another"])).keys()]);
    await step("bulk get metadata", async () => Object.fromEntries(await kv.getWithMetadata(["json", "absent"], { type: "json", cacheTtl: 60 })));
    await step("bulk get not json", () => kv.get(["a/b c?%ü"], "json"));
    await step("bulk get bad type", () => kv.get(["json"], "stream"));
    await step("bulk get too many", () => kv.get(Array.from({ length: 101 }, (_, i) => "k" + i)));
    await step("list", () => kv.list({ prefix: "e" }));
    await step("list json", () => kv.list({ prefix: "json" }));
    await step("list meta", () => kv.list({ prefix: "meta" }));
    await step("list pages", async () => {
      const pages = []; let cursor;
      do {
        const p = await kv.list({ limit: 3, cursor });
        pages.push(p.keys.map((k) => k.name)); cursor = p.cursor;
        if (p.list_complete) break;
      } while (true);
      return pages;
    });
    await step("list limit 1001", () => kv.list({ limit: 1001 }));
    await step("list bad cursor", () => kv.list({ cursor: "!" }));
    await step("delete", () => kv.delete("json"));
    await step("delete absent", () => kv.delete("absent"));
    await step("get deleted", () => kv.get("json"));
    await step("empty key", () => kv.get(""));
    await step("dot key", () => kv.put("..", ""));
    await step("long key", () => kv.get("k".repeat(513)));
    await step("short ttl", () => kv.put("k", "v", { expirationTtl: 59 }));
    await step("past expiration", () => kv.put("k", "v", { expiration: 1 }));
    await step("near expiration", () => kv.put("k", "v", { expiration: Math.floor(Date.now() / 1000) + 30 }).catch((e) => { throw String(e).replace(/\d{10}/, "T"); }));
    await step("metadata too large", () => kv.put("k", "v", { metadata: "x".repeat(1023) }));
    await step("value too large", () => kv.put("k", "x".repeat(25 * 1024 * 1024 + 1)));
    await step("stream too large", () => kv.put("k", stream("x".repeat(1024 * 1024), 26)));
    await step("refused puts left", () => kv.get("k"));
    await step("short cacheTtl", () => kv.get("k", { cacheTtl: 29 }));
    return new Response(JSON.stringify(results, null, 1) + "\n");
  },
};

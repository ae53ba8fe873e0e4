// Tables for the modules of the gateway whose corners cannot be seen from
// outside in reasonable time. Answers with a list of {name, error}; no error is
// null. Clocks and KV are passed in, so nothing waits.

import { limitBody } from "../../../src/body";
import { Networks } from "../../../src/cidr";
import { Circuit } from "../../../src/circuit";
import { decode } from "../../../src/jwt";
import { RateLimiter } from "../../../src/ratelimit";
import { cors, Refusal } from "../../../src/respond";
import { covers, findRoute } from "../../../src/routes";
import type { State } from "../../../src/settings";

type Test = () => void | Promise<void>;

export default {
  async fetch() {
    const results = [];
    for (const [name, test] of Object.entries(tests)) {
      let error: string | null = null;
      try {
        await test();
      } catch (e) {
        error = e instanceof Error ? (e.stack ?? e.message) : String(e);
      }
      results.push({ name, error });
    }
    return Response.json(results);
  },
} satisfies ExportedHandler<unknown>;

function equal(got: unknown, want: unknown, what: string): void {
  const [g, w] = [JSON.stringify(got), JSON.stringify(want)];
  if (g !== w) throw new Error(`${what}: got ${g}, want ${w}`);
}

function code(f: () => unknown): string {
  try {
    f();
  } catch (e) {
    return e instanceof Refusal ? e.code : "error";
  }
  return "ok";
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (e) {
    return e instanceof Refusal ? e.code : "error";
  }
  return "ok";
}

/** Workers KV as one isolate sees it, and the work that was left for after the answer. */
function memory(values = new Map<string, string>()) {
  const work: Promise<unknown>[] = [];
  const ttls: number[] = [];
  const kv = {
    async get(key: string, type?: "json") {
      const value = values.get(key) ?? null;
      return type === "json" && value !== null ? JSON.parse(value) : value;
    },
    async put(key: string, value: string, options?: { expirationTtl?: number }) {
      ttls.push(options?.expirationTtl ?? 0);
      values.set(key, value);
    },
    async delete(key: string) {
      values.delete(key);
    },
  } as KVNamespace;
  const state: State = { kv, waitUntil: (w) => void work.push(w) };
  return { state, values, ttls, settled: () => Promise.all(work) };
}

const tests: Record<string, Test> = {
  "networks: addresses in and out of blocks"() {
    const table: [block: string, address: string, inside: boolean][] = [
      ["203.0.113.0/24", "203.0.113.0", true],
      ["203.0.113.0/24", "203.0.113.255", true],
      ["203.0.113.0/24", "203.0.114.0", false],
      ["198.51.100.7", "198.51.100.7", true],
      ["198.51.100.7", "198.51.100.8", false],
      ["0.0.0.0/0", "255.255.255.255", true],
      ["0.0.0.0/0", "::1", false],
      ["128.0.0.0/1", "127.255.255.255", false],
      ["2001:db8:1::/48", "2001:db8:1:ffff:ffff:ffff:ffff:ffff", true],
      ["2001:db8:1::/48", "2001:db8:2::", false],
      ["2001:db8::/33", "2001:db8:8000::", false],
      ["::1", "0:0:0:0:0:0:0:1", true],
      ["::/0", "10.0.0.1", false],
      ["10.0.0.0/8", "::ffff:10.1.2.3", true],
      ["10.0.0.0/8", "::ffff:a01:203", true],
      ["::ffff:10.0.0.0/104", "10.1.2.3", true],
      ["64:ff9b::192.0.2.0/120", "64:ff9b::c000:2ff", true],
      ["0.0.0.0/0", "010.0.0.1", false],
      ["0.0.0.0/0", "1.2.3", false],
      ["0.0.0.0/0", "1.2.3.256", false],
      ["0.0.0.0/0", "", false],
      ["::/0", "1:2:3:4:5:6:7:8:9", false],
      ["::/0", "1:2:3:4:5:6:7", false],
      ["::/0", "1::2::3", false],
      ["::/0", "1:2:3:4:5:6:7::8", false],
      ["::/0", "12345::", false],
      ["::/0", "fe80::1%eth0", false],
      ["::/0", "::1.2.3", false],
    ];
    for (const [block, address, inside] of table) equal(new Networks([block]).allows(address), inside, `${address} in ${block}`);
  },

  "networks: a block that is none is an error"() {
    for (const block of ["", "203.0.113.0/33", "203.0.113.1/24", "203.0.113.0/024", "203.0.113.0/", "::/129", "::ffff:10.0.0.0/95", "1.2.3.4/8/8", "a"]) {
      equal(code(() => new Networks([block])), "error", block);
    }
  },

  "routes: prefixes end at a segment"() {
    equal(covers("/api/v1/users", "/api/v1/users"), true, "itself");
    equal(covers("/api/v1/users", "/api/v1/users/7"), true, "below");
    equal(covers("/api/v1/users", "/api/v1/usersX"), false, "longer segment");
    equal(covers("/", "/any"), true, "root");
    equal(findRoute("/api/v1/billing/x")?.service, "billing", "billing");
    equal(findRoute("/api/v1/users%2f7")?.service, undefined, "encoded slash");
  },

  "base64url: one spelling per value"() {
    equal([...decode("-_8")], [251, 255], "-_8");
    equal([...decode("")], [], "empty");
    for (const text of ["-_8=", "+/8", "-_9", "A", "AB", "A A", "-_8\n"]) equal(code(() => decode(text)), "malformed_token", JSON.stringify(text));
  },

  async "rate limit: the window slides"() {
    let now = 1_000_000;
    const limiter = new RateLimiter(3, 60_000, () => now, async () => {});
    const { state, ttls, settled } = memory();
    const at = async (t: number) => {
      now = 1_000_000 + t;
      const { allowed, remaining, resetAt } = await limiter.take("alice", state);
      return [allowed, remaining, resetAt - 1_000_000];
    };
    equal(await at(0), [true, 2, 60_000], "first");
    equal(await at(59_000), [true, 1, 60_000], "second");
    equal(await at(59_500), [true, 0, 60_000], "third");
    equal(await at(59_999), [false, 0, 60_000], "over the limit");
    // A fixed window would allow three more here.
    equal(await at(60_000), [true, 0, 119_000], "the first has left");
    equal(await at(60_001), [false, 0, 119_000], "the other two have not");
    equal(await at(119_000), [true, 0, 119_500], "the second has left");
    equal((await limiter.take("bob", state)).allowed, true, "another user");
    await settled();
    equal(Math.min(...ttls) >= 60, true, "KV's smallest TTL is 60 s");
  },

  async "rate limit: exact within an isolate however requests overlap"() {
    const limiter = new RateLimiter(10, 60_000, () => 5_000, async () => {});
    const { state } = memory();
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => limiter.take("alice", state)));
    equal(verdicts.filter((v) => v.allowed).length, 10, "allowed");
  },

  async "rate limit: isolates hear of each other through KV"() {
    const { state, values, settled } = memory();
    const [a, b] = [0, 1].map(() => new RateLimiter(2, 60_000, () => 5_000, async () => {}));
    await a!.take("alice", state);
    await settled();
    await b!.take("alice", state);
    await settled();
    equal(Object.keys(JSON.parse(values.get("rate:alice")!)).length, 2, "logs in KV");
    equal((await a!.take("alice", state)).allowed, false, "third request");
    const restarted = new RateLimiter(2, 60_000, () => 5_000, async () => {});
    equal((await restarted.take("alice", state)).allowed, false, "after a restart");
  },

  async "rate limit: counts in the isolate when KV fails"() {
    const limiter = new RateLimiter(1, 60_000, () => 5_000, async () => {});
    const fail = () => Promise.reject(new Error("KV is down"));
    const state: State = { kv: { get: fail, put: fail, delete: fail } as unknown as KVNamespace, waitUntil: () => {} };
    equal((await limiter.take("alice", state)).allowed, true, "first");
    equal((await limiter.take("alice", state)).allowed, false, "second");
  },

  async "circuit: closed, open, half-open, closed"() {
    let now = 1_000_000;
    const { state, values, settled } = memory();
    const circuit = new Circuit("orders", () => now);
    for (let i = 0; i < 5; i++) (await circuit.enter(state))("failure");
    equal(await codeOf(circuit.enter(state)), "circuit_open", "after five failures");
    await settled();
    equal(values.get("circuit:orders"), String(now + 30_000), "in KV");

    const other = new Circuit("orders", () => now);
    equal(await codeOf(other.enter(state)), "circuit_open", "in another isolate");

    now += 30_000;
    const probe = await circuit.enter(state);
    equal(await codeOf(circuit.enter(state)), "circuit_open", "while the probe is under way");
    probe("failure");
    now += 29_999;
    equal(await codeOf(circuit.enter(state)), "circuit_open", "open anew after a failed probe");
    now += 1;
    (await circuit.enter(state))("success");
    equal(await codeOf(circuit.enter(state)), "ok", "after a good probe");
    await settled();
    equal(values.has("circuit:orders"), false, "KV after closing");
  },

  async "circuit: failures are counted in a window, and against successes"() {
    let now = 1_000_000;
    const { state } = memory();
    const slow = new Circuit("slow", () => now);
    for (let i = 0; i < 20; i++, now += 2_500) (await slow.enter(state))("failure");
    equal(await codeOf(slow.enter(state)), "ok", "four failures in any ten seconds");

    const busy = new Circuit("busy", () => now);
    for (let i = 0; i < 20; i++) (await busy.enter(state))("success");
    for (let i = 0; i < 10; i++) (await busy.enter(state))("failure");
    equal(await codeOf(busy.enter(state)), "ok", "a third of the requests fail");

    const clients = new Circuit("clients", () => now);
    for (let i = 0; i < 20; i++) (await clients.enter(state))("neutral");
    equal(await codeOf(clients.enter(state)), "ok", "faults of clients");
  },

  async "circuit: a probe that is never heard of gives its place away"() {
    let now = 1_000_000;
    const { state } = memory();
    const circuit = new Circuit("orders", () => now);
    for (let i = 0; i < 5; i++) (await circuit.enter(state))("failure");
    now += 30_000;
    await circuit.enter(state);
    now += 30_000;
    equal(await codeOf(circuit.enter(state)), "ok", "the next probe");
  },

  async "body: never more than one byte past the limit is read"() {
    for (const [size, max, ok] of [[9, 10, true], [10, 10, true], [11, 10, false], [1_000_000, 10, false], [200_000, 150_000, false]] as const) {
      let taken = 0;
      // A body that counts what is asked of it.
      const source = new ReadableStream({
        type: "bytes",
        pull(controller) {
          const view = controller.byobRequest?.view;
          if (!view) throw new Error("read without a buffer");
          const n = Math.min(view.byteLength, size - taken);
          if (n === 0) controller.close();
          taken += n;
          controller.byobRequest!.respond(n);
        },
      });
      const body = limitBody({ body: source, headers: new Headers() } as Request, max);
      const got = await new Response(body.stream).bytes().then((b) => b.length, () => "error");
      equal(got, ok ? size : "error", `${size} of ${max}: what the reader gets`);
      equal(body.refusal?.status ?? 0, ok ? 0 : 413, `${size} of ${max}: status`);
      equal(taken, Math.min(size, max + 1), `${size} of ${max}: bytes read`);
    }
  },

  "body: Content-Length decides before a byte is read"() {
    const request = (length: string) => ({ body: new ReadableStream(), headers: new Headers({ "Content-Length": length }) }) as Request;
    equal(code(() => limitBody(request("10"), 10)), "ok", "10");
    equal(code(() => limitBody(request("11"), 10)), "body_too_large", "11");
    equal(code(() => limitBody(request("0x5"), 10)), "bad_content_length", "0x5");
  },

  "cors: only configured origins, never a star"() {
    const from = (origin: string) => new Request("https://gateway", { headers: { Origin: origin } });
    equal(cors(from("https://app.example"), ["https://app.example"]).get("Access-Control-Allow-Origin"), "https://app.example", "ours");
    equal(cors(from("https://evil.example"), ["https://app.example"]).get("Access-Control-Allow-Origin"), null, "another");
  },
};

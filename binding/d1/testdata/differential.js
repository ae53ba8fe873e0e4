// Every call is made on two databases alike: one behind our module, one behind
// the runtime's. The answer to the request is what differed.
import { WorkerEntrypoint } from "cloudflare:workers";
import { attempt, surface } from "./describe.js";

const uneven = ["duration", "sql_duration_ms"]; // times differ

const setup = `CREATE TABLE t(id INTEGER PRIMARY KEY, a, b TEXT UNIQUE, c INT NOT NULL DEFAULT 1)
INSERT INTO t(a, b) VALUES(1, 'one'), (2.5, 'zwei ü 🙂'), (NULL, 'three "quoted" \\ line'), (x'00ff10', char(0, 31, 127, 8232))`;

const texts = [
  "SELECT * FROM t ORDER BY id", "SELECT a, b FROM t WHERE id = ?", "SELECT ? AS v", "SELECT ?1 AS v, ?2 AS w", "SELECT ?, ?, typeof(?2)",
  "SELECT 1 AS a, 2 AS a, 3 AS b", "SELECT 1 AS \"2\", 2 AS \"1\", 3 AS z", "SELECT 1 AS __proto__, 2 AS constructor, 3 AS \"ü 🙂\"",
  "SELECT NULL AS n, 1.0 AS f, 1e300 * 1e300 AS inf, 9007199254740993 AS big, -0.0 AS zero", "SELECT id FROM t WHERE 0", "SELECT 1 WHERE 0",
  "INSERT INTO t(a, b) VALUES(?, ?)", "INSERT INTO t(a) VALUES(?) RETURNING *", "UPDATE t SET a = ? WHERE id % 2", "DELETE FROM t WHERE id > 6 RETURNING id, b",
  "INSERT INTO t(b) VALUES('one')", "INSERT INTO t(c) VALUES(NULL)", "CREATE TABLE IF NOT EXISTS u(x)", "DROP TABLE IF EXISTS u", "INSERT INTO u VALUES(?)",
  "SELEC 1", "SELECT * FROM nope", "", " ", "-- nothing", "SELECT 1; SELECT 2 AS two", "SELECT 'a%2Fb#c?d&e+f' AS s", "SELECT ' edges ' AS s", "SELECT char(13, 10, 9) AS s",
  "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT i, 'row ' || i AS text FROM n",
  "SELECT printf('%.5000c', 'x') AS long", "SELECT printf('%.3000c', 'x') || char(252) AS long", `SELECT '${"y".repeat(3000)}' AS long, ? AS v`, "BEGIN", "PRAGMA table_info(t)", "ATTACH 'x' AS y",
];
const values = [
  0, 1, 2, -1, -0, 1.5, 1e21, 1e-7, NaN, Infinity, -Infinity, 2 ** 53, null, true, false, "", "one", "zwei ü 🙂", "\ud800 lone", "\0\x1f\x7f\u2028", "a%2Fb#c?d&e+f", "z".repeat(2500),
  new Uint8Array([0, 127, 255]), new Uint8Array(0), new ArrayBuffer(3), new Float64Array([1.5, 300]), new DataView(new ArrayBuffer(2)), [1, 2, 255], [], [256], ["a"], [1.5],
  undefined, {}, { a: 1 }, () => 1, Symbol("s"), 10n, new BigInt64Array(1), new Date(0), Object.create(null), new Map(),
];
const names = ["a", "b", "id", "v", "nope", "toString", "__proto__", "constructor", 0, null, undefined, Symbol("s")];

// table are cases that chance would hardly find.
const table = {
  surface: (db) => surface(db),
  "surface of a statement": (db) => surface(db.prepare("SELECT 1").bind(1)),
  "surface of a session": (db) => surface(db.withSession()).filter((line) => line !== "D1DatabaseSessionAlwaysPrimary"),
  "statement and parameters": (db) => Object.entries(db.prepare("SELECT ?").bind(true, new Uint8Array([1]), "a")),
  "parameters are changed": (db) => { const s = db.prepare("SELECT ? AS v").bind(1); s.params[0] = "2"; s.statement = "SELECT ?1 AS w"; return s.first(); },
  "prepare nothing": (db) => db.prepare().all(),
  "prepare null": (db) => db.prepare(null).all(),
  "prepare a number": (db) => db.prepare(5).all(),
  "prepare an object": (db) => db.prepare({ toString: () => "SELECT 1" }).all(),
  "bind nothing": (db) => db.prepare("SELECT 1 AS a").bind().all(),
  "bind twice": (db) => db.prepare("SELECT ? AS a").bind(1).bind(2).all(),
  "too many": (db) => db.prepare("SELECT ? AS a").bind(1, 2).all(),
  "run tells the rows": (db) => db.prepare("SELECT 1 AS a").run(),
  "first of many": (db) => db.prepare("SELECT id FROM t ORDER BY id DESC").first("id"),
  "first is null": (db) => db.prepare("SELECT NULL AS a").first("a"),
  "raw without rows": (db) => db.prepare("SELECT 1 AS a WHERE 0").raw({ columnNames: true }),
  "raw of a write": (db) => db.prepare("UPDATE t SET c = c").raw({ columnNames: true }),
  "raw, odd options": (db) => db.prepare("SELECT 1 AS a").raw({ columnNames: "yes" }),
  "batch of nothing": (db) => db.batch([]),
  "batch of no list": (db) => db.batch(db.prepare("SELECT 1")),
  "batch without argument": (db) => db.batch(),
  "batch of odd things": (db) => db.batch([{}]),
  "batch of null": (db) => db.batch([null]),
  "batch is one transaction": async (db) => {
    const error = await db.batch([db.prepare("INSERT INTO t(b) VALUES('undone')"), db.prepare("SELECT nope")]).catch((e) => e);
    return [error, await db.prepare("SELECT count(*) AS n FROM t WHERE b = 'undone'").first("n")];
  },
  "batch with bytes": (db) => db.batch([db.prepare("SELECT ? AS v").bind(new Uint8Array([1, 2])), db.prepare("SELECT 2 AS w")]),
  "exec without argument": (db) => db.exec(),
  "exec of nothing": (db) => db.exec(""),
  "exec of empty lines": (db) => db.exec("SELECT 1\n\nSELECT 2"),
  "exec fails in the second line": (db) => db.exec("SELECT 1\n  SELECT nope\nSELECT 2"),
  "exec fails in the first line": (db) => db.exec("nope\nSELECT 1"),
  "exec of one line that fails": (db) => db.exec("nope"),
  "exec with rows": (db) => db.exec("SELECT * FROM t; SELECT 2\r\nSELECT 3"),
  "query()": (db) => db.query({ queries: [] }),
  dump: async (db) => new TextDecoder().decode((await db.dump()).slice(0, 15)),
  "a method alone": (db) => { const { all } = db.prepare("SELECT 1"); return all().catch((e) => e.constructor.name); },
  "structured clone": (db) => structuredClone(db),
  "JSON": (db) => JSON.stringify([db, db.prepare("SELECT 1"), db.withSession()]),
  "over RPC": async (db, ctx) => await ctx.exports.Other.use(db),
  "session with a number": (db) => db.withSession(5),
  "session with spaces": (db) => db.withSession("  ").getBookmark(),
  "session from a bookmark": (db) => db.withSession(" ffffffff ").getBookmark(),
  "session from null": (db) => db.withSession(null).getBookmark(),
  "session, first-primary": (db) => db.withSession("first-primary").getBookmark(),
  "session has no exec": (db) => typeof db.withSession().exec,
  "session after a failure": async (db) => { const s = db.withSession(); await s.prepare("nope").all().catch(() => 0); return s.getBookmark(); },
  "session of a batch": async (db) => {
    const s = db.withSession("first-primary");
    const results = await s.batch([s.prepare("SELECT 1 AS a"), s.prepare("SELECT 2 AS b")]);
    return [results, typeof s.getBookmark()];
  },
  "session, all the others": async (db) => {
    const s = db.withSession(), p = s.prepare("SELECT 1 AS a");
    return [await p.first(), await p.first("a"), await p.raw(), await p.raw({ columnNames: true }), await p.run(), await p.all(), await s.prepare("SELECT 1 WHERE 0").first()];
  },
  "session keeps the later bookmark": async (db) => {
    const later = db.withSession("zzzzzzzz"), earlier = db.withSession("0");
    await later.prepare("SELECT 1").all();
    await earlier.prepare("SELECT 1").all();
    return [later.getBookmark(), earlier.getBookmark() > "0"];
  },
  "many at once": (db) => Promise.all(Array.from({ length: 40 }, (_, i) => db.prepare("SELECT ? AS i").bind(i).first("i"))),
};

export class Other extends WorkerEntrypoint {
  async use(db) {
    return [await db.prepare("SELECT 1 AS a").first(), db.constructor.name];
  }
}

// chance makes a call of chance's choosing, the same for the same random.
function chance(random) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const statement = () => {
    const text = pick(texts);
    const marks = (text.match(/\?/g) ?? []).length;
    const bound = random() < 0.9 ? Array.from({ length: random() < 0.9 ? marks : marks + 1 }, () => pick(values)) : null;
    return (db) => (bound === null ? db.prepare(text) : db.prepare(text).bind(...bound));
  };
  const s = statement(), list = Array.from({ length: Math.floor(random() * 4) }, statement), column = pick(names);
  const lines = Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(texts.filter((text) => !text.includes("?")))).join("\n");
  const call = pick([
    (db) => s(db).all(), (db) => s(db).run(), (db) => s(db).raw(), (db) => s(db).raw({ columnNames: true }), (db) => s(db).first(),
    (db) => s(db).first(column), (db) => db.batch(list.map((one) => one(db))), (db) => db.exec?.(lines),
  ]);
  return random() < 0.2 ? (db) => call(db.withSession()) : call;
}

function seeded(state) {
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export default {
  async fetch(request, { OURS, THEIRS }, ctx) {
    const { searchParams } = new URL(request.url);
    const seed = Number(searchParams.get("seed")), calls = Number(searchParams.get("calls"));
    const out = [];
    const compare = async (name, f) => {
      const [ours, theirs] = [await attempt(() => f(OURS, ctx), uneven), await attempt(() => f(THEIRS, ctx), uneven)];
      if (ours !== theirs) out.push(`${name}\n  ours:   ${ours.slice(0, 2000)}\n  theirs: ${theirs.slice(0, 2000)}\n`);
      return ours;
    };
    await compare("setup", (db) => db.exec(setup));
    if (calls === 0) {
      for (const [name, f] of Object.entries(table)) await compare(name, f);
      return new Response(out.join("\n"));
    }
    const random = seeded(seed);
    let resolved = 0;
    for (let n = 1; n <= calls; n++) {
      if ((await compare(`seed ${seed}, call ${n}`, chance(random))).startsWith("resolves")) resolved++;
    }
    return new Response(out.join("\n"), { headers: { resolved } });
  },
};

// Each case is a line of SQL and, optionally, its parameters; the answer to
// the request is one line per case with what the Worker saw.
const long = "a".repeat(100001);
const cases = [
  ["SELECT 1 AS a"], ["SELECT * FROM nope"], ["SELEC 1"], [""], ["-- c"], [";"], ["  "],
  ["SELECT 1; SELECT 2"], ["SELECT 1;"], ["SELECT 1; -- x"],
  ["CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT UNIQUE, c INT NOT NULL DEFAULT 1 CHECK(c>0))"],
  ["INSERT INTO t(b) VALUES('x')"], ["INSERT INTO t(b) VALUES('x')"], ["INSERT INTO t(a,b) VALUES(1,'y')"],
  ["INSERT INTO t(b,c) VALUES('z',NULL)"], ["INSERT INTO t(b,c) VALUES('z',-1)"],
  ["CREATE TABLE ch(a INTEGER REFERENCES t(a))"], ["INSERT INTO ch VALUES(99)"],
  ["ATTACH 'x' AS y"], ["DETACH y"], ["VACUUM"], ["VACUUM INTO 'x'"], ["SELECT load_extension('x')"],
  ["PRAGMA writable_schema=1"], ["PRAGMA journal_mode"], ["PRAGMA foreign_keys"], ["PRAGMA foreign_keys=off"],
  ["PRAGMA foreign_keys"], ["PRAGMA user_version"], ["PRAGMA page_count"], ["PRAGMA page_size"],
  ["PRAGMA integrity_check"], ["PRAGMA quick_check"], ["PRAGMA defer_foreign_keys=on"],
  ["PRAGMA case_sensitive_like=on"], ["SELECT 'A' LIKE 'a' AS x"], ["PRAGMA nonsense"], ["PRAGMA encoding"],
  ["PRAGMA recursive_triggers"], ["PRAGMA function_list"], ["PRAGMA compile_options"], ["PRAGMA database_list"],
  ["PRAGMA table_info(t)"], ["PRAGMA foreign_key_check"], ["PRAGMA foreign_key_list(ch)"],
  ["BEGIN"], ["COMMIT"], ["ROLLBACK"], ["SAVEPOINT a"], ["BEGIN TRANSACTION"],
  ["EXPLAIN QUERY PLAN SELECT * FROM t"], ["SELECT name FROM sqlite_master"], ["DELETE FROM sqlite_master"],
  ["CREATE TABLE sqlite_x(a)"], ["CREATE TABLE _cf_KV(a)"], ["SELECT * FROM _cf_KV"],
  ["SELECT ?", [1, 2]], ["SELECT ?, ?", [1]], ["SELECT ?1 AS v", ["a"]], ["SELECT :a", ["x"]],
  ["SELECT 9007199254740993 AS big, 1.0 AS f, 1e300*1e300 AS inf, -1e300*1e300, x'0102' AS b, NULL AS n, 1 AS d, 2 AS d"],
  ["SELECT typeof(?) AS v", [1]], ["SELECT typeof(?) AS v", [1.5]], ["SELECT typeof(?) AS v", [true]],
  ["SELECT typeof(?) AS v", [null]], ["SELECT typeof(?) AS v, ? AS w", [new Uint8Array([1, 2]), []]],
  ["CREATE TEMP TABLE q(a)"], ["CREATE VIEW v AS SELECT 1"], ["CREATE VIRTUAL TABLE f USING fts5(a)"],
  ["INSERT INTO f VALUES('the quick brown fox')"], ["SELECT highlight(f,0,'<','>') AS h FROM f WHERE f MATCH 'quick' ORDER BY bm25(f)"],
  ["SELECT zeroblob(10000000)"], ["SELECT '" + long + "'"], ["SELECT sqlite_version()"], ["SELECT uuid()"],
  ["SELECT json_extract('{\"a\":1}','$.a') AS j"], ["SELECT '{\"a\":1}'->>'a' AS j"], ["SELECT ceil(1.2) AS c"],
  ["SELECT readfile('/etc/passwd')"], ["SELECT sqlite_log(1,'a')"], ["SELECT fts3_tokenizer('a')"],
  ["SELECT changes() AS c, last_insert_rowid() AS l"], ["UPDATE t SET b='q'"],
  ["INSERT INTO t(b) VALUES('r1'),('r2') RETURNING a,b"], ["DELETE FROM t WHERE a>1"],
  ["ALTER TABLE t ADD COLUMN d"], ["ALTER TABLE t RENAME COLUMN d TO e"], ["ALTER TABLE t DROP COLUMN e"], ["ALTER TABLE ch RENAME TO ch2"],
  ["REINDEX"], ["ANALYZE"], ["SELECT name FROM pragma_table_info('t')"], ["SELECT * FROM pragma_database_list"],
  ["SELECT * FROM dbstat"], ["SELECT * FROM sqlite_dbpage"],
  ["SELECT " + Array(101).fill("?").join(","), Array(101).fill(1)],
  ["CREATE TABLE wide(" + Array.from({ length: 101 }, (_, i) => "c" + i).join(",") + ")"],
  ["SELECT a FROM t WHERE a LIKE '" + "%".repeat(60) + "'"],
  ["CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM ch2; SELECT 1; END"], ["SELECT 'a;b' AS s"],
  ["INSERT INTO t(b) VALUES('w1'); INSERT INTO t(b) VALUES('w2');"], ["SELECT b FROM t ORDER BY a"],
  ["SELECT abs(-9223372036854775808)"], ["DROP TABLE nope"], ["SELECT nope FROM t"], ["SELECT nofn()"],
  ["INSERT INTO t(b,a) VALUES(1)"], ["SELECT 'un"], ["SELECT (1"], ["SELECT 'é' AS \"ü\""],
  ["SELECT char(0,65) AS c"], ["SELECT CAST(x'ff' AS TEXT) AS bad"],
  ["WITH x(n) AS (VALUES(1)) INSERT INTO t(b) SELECT 'cte' FROM x"], ["SELECT count(*) AS n FROM t"],
  ["SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6"],
];
const trim = (r) => JSON.stringify({ results: r.results, changes: r.meta.changes, last_row_id: r.meta.last_row_id });
const attempt = async (f) => { try { return JSON.stringify(await f()); } catch (e) { return `${e.name}: ${e.message}`; } };

// load makes n calls, 32 at a time.
async function load(db, path, n) {
  const read = db.prepare("SELECT * FROM bench WHERE id = ?"), insert = db.prepare("INSERT INTO bench (name) VALUES (?)");
  const one = path === "/read" ? () => read.bind(1 + (n % 1000)).first() : () => insert.bind("x").run();
  await Promise.all(Array.from({ length: 32 }, async () => { while (n-- > 0) await one(); }));
  return new Response("done");
}

export default {
  async fetch(request, env) {
    const path = new URL(request.url).pathname;
    if (path === "/read" || path === "/insert") return load(env.DB, path, Number(new URL(request.url).searchParams.get("n")));
    const out = [];
    for (const [sql, params] of cases) {
      let seen;
      try {
        let s = env.DB.prepare(sql);
        if (params) s = s.bind(...params);
        seen = trim(await s.all());
      } catch (e) { seen = e.message; }
      out.push(sql.slice(0, 90) + (params ? " " + JSON.stringify(params).slice(0, 40) : "") + "\n    " + seen);
    }
    const db = env.DB, say = async (what, f) => out.push(what + "\n    " + (await attempt(f)));
    for (const sql of ["SELECT 1", "SELECT 1\nSELECT 2;\n\nSELECT 3", "-- hi\nSELECT 1", "CREATE TABLE\nz(a)", "SELECT 1\nSELEC 2", ""])
      await say("exec " + JSON.stringify(sql), async () => (await db.exec(sql)).count);
    for (const list of [[], ["SELECT 1 AS a", "SELECT 2 AS b"], ["INSERT INTO t(b) VALUES('b1')", "SELECT last_insert_rowid() AS id", "SELECT b FROM t ORDER BY a DESC LIMIT 1"],
      ["INSERT INTO t(b) VALUES('b2')", "INSERT INTO nope VALUES(1)"], ["SELECT b FROM t WHERE b = 'b2'"]])
      await say("batch " + JSON.stringify(list), async () => (await db.batch(list.map((s) => db.prepare(s)))).map((r) => r.results));
    await say("run", async () => (await db.prepare("SELECT 1 AS a").run()).results);
    await say("raw", () => db.prepare("SELECT 1 AS a, 2 AS a").raw({ columnNames: true }));
    await say("first", () => db.prepare("SELECT 1 AS a, 2 AS b").first());
    await say("first column", () => db.prepare("SELECT 1 AS a").first("a"));
    await say("first, no such column", () => db.prepare("SELECT 1 AS a").first("zz"));
    await say("first, no row", () => db.prepare("SELECT 1 WHERE 0").first());
    await say("meta", async () => Object.keys((await db.prepare("SELECT 1").all()).meta).sort());
    await say("bind undefined", () => db.prepare("SELECT ?").bind(undefined).all());
    await say("dump", async () => new TextDecoder().decode((await db.dump()).slice(0, 15)));
    await say("session", async () => {
      const s = db.withSession(), before = s.getBookmark();
      await s.prepare("SELECT 1").all();
      const read = s.getBookmark();
      await s.prepare("INSERT INTO t(b) VALUES('session')").run();
      const wrote = s.getBookmark();
      const t = db.withSession(wrote);
      const rows = await t.prepare("SELECT b FROM t WHERE b = 'session'").all();
      return [before, read < wrote, t.getBookmark() === wrote, rows.results];
    });
    return new Response(out.join("\n") + "\n");
  },
};

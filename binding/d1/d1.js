// The object that a Worker sees as a D1 binding. The runtime has a module for
// it, too, which costs more than twice as much; every difference that a Worker
// could notice is in docs/compatibility.md, and module_test.go runs both.
import wrapped from "cloudflare-internal:wrapped-binding";
import { ask } from "selvage:ask";

const failure = (prefix, message, cause = message) => new Error(`${prefix}: ${message}`, { cause: new Error(cause) });

// send is the private method of D1DatabaseSession.
let send;

class D1DatabaseSession {
  #fetcher;
  #bookmark; // or a constraint; null outside of sessions

  constructor(fetcher, bookmark) {
    this.#fetcher = fetcher;
    this.#bookmark = bookmark;
  }

  static {
    send = (session, operation, queries) => session.#send(operation, queries);
  }

  // #send gives a list with what each query gave, or what failed: an object
  // with the message and the number of the query.
  async #send(operation, queries) {
    const question = JSON.stringify(queries);
    const session = this.#bookmark !== null;
    const text = await ask(this.#fetcher, session ? operation + "/session" : operation, question);
    let results;
    try {
      results = JSON.parse(text);
    } catch {
      throw failure("D1_ERROR", `Failed to parse body as JSON, got: ${text}`);
    }
    if (results.error === undefined) {
      if (session) this.#see(results.pop());
    } else if (operation !== "exec") {
      throw failure("D1_ERROR", results.error);
    }
    return results;
  }

  // #see keeps the later one of two bookmarks: calls may overtake each other.
  #see(bookmark) {
    const last = this.getBookmark();
    if (last === null || last.localeCompare(bookmark) < 0) this.#bookmark = bookmark;
  }

  prepare(sql) {
    return new D1PreparedStatement(this, sql);
  }

  async batch(statements) {
    const results = await this.#send("all", statements.map((s) => ({ sql: s.statement, params: s.params })));
    return results.map(succeeded);
  }

  getBookmark() {
    return this.#bookmark === "first-primary" || this.#bookmark === "first-unconstrained" ? null : this.#bookmark;
  }
}

// succeeded is a result as Workers see it, its properties in the usual order.
const succeeded = ({ meta, results }) => ({ success: true, meta, results });

class D1DatabaseSessionAlwaysPrimary extends D1DatabaseSession {
  constructor(fetcher) {
    super(fetcher, null);
  }

  async exec(query) {
    const lines = query.trim().split("\n");
    const durations = await send(this, "exec", lines.map((sql) => ({ sql })));
    const { error, query: n } = durations;
    if (error !== undefined) {
      const message = `Error in line ${n + 1}: ${lines[n]}: ${error}`;
      throw failure("D1_EXEC_ERROR", message);
    }
    return { count: durations.length, duration: durations.reduce((sum, duration) => sum + duration, 0) };
  }
}

class D1Database extends wrapped.WrappedBinding {
  #fetcher;
  #primary;

  constructor(fetcher) {
    super(fetcher);
    this.#fetcher = fetcher;
    this.#primary = new D1DatabaseSessionAlwaysPrimary(fetcher);
  }

  prepare(query) {
    return new D1PreparedStatement(this.#primary, query);
  }

  async batch(statements) {
    return this.#primary.batch(statements);
  }

  async exec(query) {
    return this.#primary.exec(query);
  }

  withSession(constraintOrBookmark) {
    return new D1DatabaseSession(this.#fetcher, constraintOrBookmark?.trim() || "first-unconstrained");
  }

  async query(request) {
    throw new Error("D1_ERROR: D1Database.query() requires the d1_binding_jsrpc compatibility flag. Enable d1_binding_jsrpc before calling query().");
  }

  async dump() {
    const response = await this.#fetcher.fetch("http://d1/dump", { method: "POST" });
    if (response.status === 200) return response.arrayBuffer();
    throw failure("D1_DUMP_ERROR", `Status + ${response.status}`, `Status ${response.status}`);
  }
}

class D1PreparedStatement {
  #session;
  statement;
  params;

  constructor(session, statement, values) {
    this.#session = session;
    this.statement = statement;
    this.params = values || [];
  }

  bind(...values) {
    return new D1PreparedStatement(this.#session, this.statement, values.map(parameter));
  }

  async first(colName) {
    const [row] = await send(this.#session, "first", { sql: this.statement, params: this.params });
    if (row === null) return null;
    if (colName === undefined) return row;
    if (row[colName] === undefined) throw failure("D1_COLUMN_NOTFOUND", `Column not found (${colName})`, "Column not found");
    return row[colName];
  }

  async run() {
    return this.all();
  }

  async all() {
    const [result] = await send(this.#session, "all", { sql: this.statement, params: this.params });
    return succeeded(result);
  }

  async raw(options) {
    const [{ columns, rows }] = await send(this.#session, "raw", { sql: this.statement, params: this.params });
    return options?.columnNames ? [columns, ...rows] : rows;
  }
}

// parameter is a value as it travels: bytes are arrays of numbers.
function parameter(value) {
  switch (typeof value) {
    case "number":
    case "string":
      return value;
    case "boolean":
      return value ? 1 : 0;
    case "object":
      if (value === null) return value;
      if (Array.isArray(value) && value.every((byte) => typeof byte === "number" && byte >= 0 && byte < 256)) return value;
      if (value instanceof ArrayBuffer) return Array.from(new Uint8Array(value));
      if (ArrayBuffer.isView(value)) return Array.from(value);
  }
  const message = `Type '${typeof value}' not supported for value '${value}'`;
  throw failure("D1_TYPE_ERROR", message);
}

export default function (env) {
  return new D1Database(env.fetcher);
}

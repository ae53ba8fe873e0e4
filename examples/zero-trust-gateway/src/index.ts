// The gateway: the one Worker that the outside can reach. It trusts nothing of a
// request that it has not verified, and the services behind it trust nothing but
// their bindings.

import { audit } from "./audit";
import { limitBody } from "./body";
import { Circuit } from "./circuit";
import { verifyToken } from "./jwt";
import { RateLimiter, rateHeaders } from "./ratelimit";
import { cors, finish, preflight, refuse, Refusal, relay } from "./respond";
import { covers, findRoute, type Route } from "./routes";
import { type Env, readSettings, type Settings, type State } from "./settings";

/** What an isolate keeps between requests: settings, counts, circuits. The rest is in KV. */
class Gateway {
  readonly settings: Settings;
  readonly limiter: RateLimiter;
  readonly #circuits = new Map<string, Circuit>();

  constructor(env: Env) {
    this.settings = readSettings(env);
    this.limiter = new RateLimiter(this.settings.rateLimit, this.settings.rateWindowMs);
  }

  circuit(service: string): Circuit {
    const circuit = this.#circuits.get(service) ?? new Circuit(service);
    this.#circuits.set(service, circuit);
    return circuit;
  }
}

let gateway: Gateway | undefined;

/** One request: what is found out about it on its way. */
interface Exchange {
  requestId: string;
  /** The verified user, for the audit trail. */
  user: string;
  /** Headers for the client, whatever the answer. */
  headers: Headers;
  state: State;
}

export default {
  async fetch(request, env, ctx) {
    const arrived = Date.now();
    const exchange: Exchange = {
      requestId: crypto.randomUUID(),
      user: "anonymous",
      headers: new Headers(),
      state: { kv: env.STATE, waitUntil: (work) => ctx.waitUntil(work) },
    };
    const { pathname } = new URL(request.url);
    if (pathname === "/health") return finish(Response.json({ status: "ok" }), exchange.headers);

    let audited = true;
    let response: Response;
    try {
      gateway ??= new Gateway(env);
      exchange.headers = cors(request, gateway.settings.corsOrigins);
      const answer = preflight(request, gateway.settings.corsOrigins);
      audited = answer === null;
      response = answer ?? (await admit(gateway, request, pathname, env, exchange));
    } catch (error) {
      response = refuse(asRefusal(error, exchange.requestId), exchange.requestId);
    }

    const durationMs = Date.now() - arrived;
    exchange.headers.set("X-Request-ID", exchange.requestId);
    exchange.headers.set("X-Response-Time", `${durationMs}ms`);
    if (audited) {
      const { requestId, user } = exchange;
      ctx.waitUntil(audit(env.AUDIT_DB, request, { requestId, arrived, user, status: response.status, durationMs }));
    }
    return finish(response, exchange.headers);
  },
} satisfies ExportedHandler<Env>;

/** The checks, cheapest first, and then the service. */
async function admit(gateway: Gateway, request: Request, path: string, env: Env, exchange: Exchange): Promise<Response> {
  const { settings, limiter } = gateway;

  // The edge sets CF-Connecting-IP and replaces what a client sends under this name.
  const ip = request.headers.get("CF-Connecting-IP") ?? "";
  for (const [prefix, networks] of settings.allow) {
    if (covers(prefix, path) && !networks.allows(ip)) {
      throw new Refusal(403, "ip_not_allowed", "this address may not use this path");
    }
  }

  const identity = await verifyToken(request.headers.get("Authorization"), settings.token, Date.now() / 1000);
  exchange.user = identity.id;

  const verdict = await limiter.take(identity.id, exchange.state);
  for (const [name, value] of Object.entries(rateHeaders(verdict, Date.now()))) exchange.headers.set(name, value);
  if (!verdict.allowed) throw new Refusal(429, "rate_limited", `more than ${verdict.limit} requests in ${settings.rateWindowMs / 1000} s`);

  const route = findRoute(path);
  if (route === undefined) throw new Refusal(404, "no_route", "no service answers this path");

  const body = limitBody(request, settings.maxBody);
  const rest = (path.slice(route.prefix.length) || "/") + new URL(request.url).search;
  const timeout = new AbortController();
  const call = { request, rest, body, identity, requestId: exchange.requestId, signal: timeout.signal };

  const report = await gateway.circuit(route.service).enter(exchange.state);
  try {
    const response = await within(settings.upstreamTimeoutMs, timeout, route.call(call, env));
    if (body.refusal !== null) throw body.refusal;
    // What a failing service says is for its logs, not for clients.
    if (response.status >= 500) throw new Error(`status ${response.status}`);
    report("success");
    return relay(response);
  } catch (error) {
    // A body that turned out too large breaks the call in some way; the way does not matter.
    const cause = body.refusal ?? error;
    if (cause instanceof Refusal) {
      report(cause === body.refusal ? "neutral" : "success");
      throw cause;
    }
    report("failure");
    throw failed(route, cause, exchange.requestId);
  }
}

/** Waits for a service's answer, and aborts the call when it takes too long. The body may take as long as it likes. */
async function within<T>(ms: number, abort: AbortController, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      abort.abort();
      reject(new Error(`no answer in ${ms} ms`));
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function failed(route: Route, cause: unknown, requestId: string): Refusal {
  console.error(`${route.service} failed (request ${requestId}):`, cause);
  return new Refusal(502, "upstream_failed", `${route.service} failed`);
}

function asRefusal(error: unknown, requestId: string): Refusal {
  if (error instanceof Refusal) return error;
  console.error(`the gateway failed (request ${requestId}):`, error);
  return new Refusal(500, "internal", "the gateway failed");
}

// Which private service answers which path, and what it is told.

import type { Result } from "../billing/src/index";
import type { LimitedBody } from "./body";
import type { Identity } from "./jwt";
import { Refusal } from "./respond";
import type { Env } from "./settings";

/** A request that passed all checks, on its way to a service. */
export interface Call {
  request: Request;
  /** The path behind the route's prefix, with a leading slash, and the query string. */
  rest: string;
  body: LimitedBody;
  identity: Identity;
  requestId: string;
  /** Aborted when the service takes too long. */
  signal: AbortSignal;
}

export interface Route {
  prefix: string;
  /** Names the service in messages and its circuit. */
  service: string;
  call(call: Call, env: Env): Promise<Response>;
}

const routes: readonly Route[] = [
  { prefix: "/api/v1/users", service: "users", call: (call, env) => env.USERS.fetch(forward(call, "https://users.internal")) },
  { prefix: "/api/v1/orders", service: "orders", call: (call, env) => env.ORDERS.fetch(forward(call, "https://orders.internal")) },
  { prefix: "/api/v1/billing", service: "billing", call: billing },
];

/** Finds the route of a path. */
export function findRoute(path: string): Route | undefined {
  return routes.find((route) => covers(route.prefix, path));
}

/** Reports whether the path is the prefix or lies below it: /a/b covers /a/b and /a/b/c but not /a/bc. */
export function covers(prefix: string, path: string): boolean {
  return path === prefix || path.startsWith(prefix.endsWith("/") ? prefix : `${prefix}/`);
}

/**
 * Headers that no service gets from a client: identity, which is the gateway's to
 * state (in every spelling that some server reads as X-User-ID); the token, which
 * would let a service act as the user elsewhere; the proxy chain, which a client
 * can invent; and hop-by-hop headers.
 */
const notForServices =
  /^(x[-_]user[-_].*|x[-_]request[-_]id|authorization|forwarded|x-forwarded-.*|x-real-ip|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect)$/i;

function forward({ request, rest, body, identity, requestId, signal }: Call, origin: string): Request {
  const headers = new Headers(request.headers);
  const hops = (headers.get("Connection") ?? "").split(",").map((name) => name.trim().toLowerCase());
  for (const name of [...headers.keys()]) {
    if (notForServices.test(name) || hops.includes(name)) headers.delete(name);
  }
  headers.set("X-User-ID", identity.id);
  headers.set("X-User-Role", identity.role);
  headers.set("X-Request-ID", requestId);
  const ip = request.headers.get("CF-Connecting-IP");
  if (ip !== null) headers.set("X-Forwarded-For", ip);
  // A redirect is the client's to follow, so that it passes the gateway again.
  return new Request(origin + rest, { method: request.method, headers, body: body.stream, redirect: "manual", signal });
}

/** Billing is called by RPC: here HTTP becomes method calls, so the service has no HTTP to get wrong. */
async function billing({ request, rest, body, identity, requestId }: Call, env: Env): Promise<Response> {
  const caller = { ...identity, requestId };
  const [path] = rest.split("?");
  switch (`${request.method} ${path}`) {
    case "GET /invoices":
      return answer(await env.BILLING.invoices(caller));
    case "GET /reports":
      return answer(await env.BILLING.report(caller));
    case "POST /charges":
      return answer(await env.BILLING.charge(caller, await readJSON(body)), 201);
  }
  throw new Refusal(404, "not_found", "billing has no such method");
}

function answer<T>(result: Result<T>, status = 200): Response {
  if (!result.ok) throw new Refusal(result.status, result.code, result.message);
  return Response.json(result.value, { status });
}

async function readJSON(body: LimitedBody): Promise<unknown> {
  const text = await new Response(body.stream).text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, "bad_json", "the request body is not JSON");
  }
}

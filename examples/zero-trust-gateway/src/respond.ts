// What the gateway's own answers look like, and what it adds to everybody's.

/** Why a request goes no further. Thrown anywhere, turned into an answer in one place. */
export class Refusal extends Error {
  /** @param code stable, for programs; message is for people and may change. */
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}

/** A refusal as JSON: {"error", "code", "requestId"}. */
export function refuse(refusal: Refusal, requestId: string): Response {
  return Response.json(
    { error: refusal.message, code: refusal.code, requestId },
    { status: refusal.status, headers: { "Cache-Control": "no-store", ...refusal.headers } },
  );
}

const securityHeaders = {
  "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
};

/** Headers of a service that stay behind the gateway: hop-by-hop, what names the software, and CORS, which is ours. */
const notForClients =
  /^(connection|keep-alive|proxy-authenticate|te|trailer|transfer-encoding|upgrade|server|x-powered-by|access-control-.*)$/;

/** A service's response without what clients do not get to see. */
export function relay(response: Response): Response {
  const headers = new Headers(response.headers);
  for (const name of [...headers.keys()]) {
    if (notForClients.test(name)) headers.delete(name);
  }
  return copy(response, headers);
}

/** A response as it leaves the gateway, with security headers, and extra on top. */
export function finish(response: Response, extra: Headers): Response {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(securityHeaders)) headers.set(name, value);
  for (const [name, value] of extra) {
    if (name === "vary") headers.append(name, value);
    else headers.set(name, value);
  }
  return copy(response, headers);
}

function copy({ body, status, statusText }: Response, headers: Headers): Response {
  return new Response(body, { status, statusText, headers });
}

/**
 * The CORS headers for a request: the caller's origin, if it is one of ours, and
 * never "*". Credentials are not allowed because none are used: a token is sent
 * by the page's own code, in Authorization.
 */
export function cors(request: Request, origins: readonly string[]): Headers {
  const headers = new Headers({ Vary: "Origin" });
  const origin = request.headers.get("Origin");
  if (origin !== null && origins.includes(origin)) {
    headers.set("Access-Control-Allow-Origin", origin);
    headers.set(
      "Access-Control-Expose-Headers",
      "X-Request-ID, X-Response-Time, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After",
    );
  }
  return headers;
}

/** The answer to a CORS preflight, or null when the request is none. */
export function preflight(request: Request, origins: readonly string[]): Response | null {
  const origin = request.headers.get("Origin");
  const asks = request.method === "OPTIONS" && origin !== null && request.headers.has("Access-Control-Request-Method");
  if (!asks) return null;
  if (!origins.includes(origin)) throw new Refusal(403, "origin_not_allowed", "this origin may not call the gateway");
  return new Response(null, {
    status: 204,
    headers: {
      "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
      "Access-Control-Allow-Headers": "Authorization, Content-Type",
      "Access-Control-Max-Age": "86400",
    },
  });
}

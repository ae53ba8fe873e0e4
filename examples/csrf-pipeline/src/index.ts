// The gateway: who asks, and is it our own page? Everything else is the private
// Worker's business.
import { cookieOf, sameOrigin, setCookie } from "./browser";
import { follow } from "./events";
import type { Session } from "./session";

export { Session } from "./session";

/** What the private Worker tells about a report. */
export interface Report {
  id: string;
  title: string;
  status: string;
  done: number;
  parts: number;
}

/** The private Worker, as the gateway sees it. */
export interface API {
  fetch(request: Request): Promise<Response>;
  start(owner: string, title: string, parts: number): Promise<string>;
  report(owner: string, id: string): Promise<Report | null>;
}

interface Env {
  API: API;
  SESSIONS: DurableObjectNamespace<Session>;
}

const refuse = (status: number, error: string, code: string) => Response.json({ error, code }, { status });

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname } = new URL(request.url);
    let owner = cookieOf(request);
    if (pathname === "/api/session" && request.method === "GET") {
      // Another site can make a browser send this, but it cannot read the answer.
      const headers = new Headers({ "Cache-Control": "no-store" });
      if (!owner) headers.set("Set-Cookie", setCookie(request, (owner = crypto.randomUUID())));
      return Response.json({ token: await env.SESSIONS.getByName(owner).issue() }, { headers });
    }
    if (!owner) return refuse(401, "ask for a session first", "no_session");

    if (pathname === "/api/channel") {
      // A handshake brings the cookie from wherever it comes, and no token: Origin decides.
      if (!sameOrigin(request)) return refuse(403, "another site may not listen", "cross_origin");
      if (request.headers.get("Upgrade") !== "websocket") return refuse(426, "this path speaks WebSocket", "no_upgrade");
      return env.API.fetch(request);
    }

    if (pathname === "/api/reports" && request.method === "POST") {
      if (!sameOrigin(request)) return refuse(403, "another site may not do this", "cross_origin");
      const verdict = await env.SESSIONS.getByName(owner).take(request.headers.get("X-CSRF-Token") ?? "");
      if (verdict.refused === "blocked") return refuse(429, "too many wrong tokens; wait a minute", "blocked");
      if (verdict.refused) return refuse(403, "this token is not one of the session's", "bad_token");
      const response = await start(request, owner, env);
      response.headers.set("X-CSRF-Token", verdict.token); // the next request's
      return response;
    }

    const [, id, events] = pathname.match(/^\/api\/reports\/([\w-]+)(\/events)?$/) ?? [];
    const report = id && request.method === "GET" && (await env.API.report(owner, id));
    if (!report) return refuse(404, "there is nothing here", "not_found"); // also for what is another session's
    return events ? follow(() => env.API.report(owner, id), request.signal) : Response.json(report);
  },
};

/** Hands long work over, and answers at once with the id of the workflow's instance. */
async function start(request: Request, owner: string, env: Env): Promise<Response> {
  const body: unknown = await request.json().catch(() => null);
  const { title, parts } = (body ?? {}) as Record<string, unknown>;
  if (typeof title !== "string" || !title || title.length > 100) return refuse(400, "title is a text of 1 to 100 characters", "bad_title");
  if (!Number.isInteger(parts) || Number(parts) < 1 || Number(parts) > 10) return refuse(400, "parts is a whole number from 1 to 10", "bad_parts");
  const id = await env.API.start(owner, title, Number(parts));
  return Response.json({ id }, { status: 202, headers: { Location: `/api/reports/${id}` } });
}

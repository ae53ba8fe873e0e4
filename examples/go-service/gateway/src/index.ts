import { verify } from "./jwt";

interface Env {
  API: Fetcher; // the Worker in Go
  JWT_SECRET: string;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const url = new URL(request.url);
    if (!url.pathname.startsWith("/api/")) {
      return new Response("The API is at /api/notes.\n", { status: 404 });
    }
    const [scheme, token] = (request.headers.get("Authorization") ?? "").split(" ");
    const user = scheme === "Bearer" && token ? await verify(token, env.JWT_SECRET) : undefined;
    if (!user) {
      return Response.json({ error: "a valid bearer token is required" }, { status: 401, headers: { "WWW-Authenticate": "Bearer" } });
    }
    // What the API believes about the caller comes from here and nowhere else.
    const headers = new Headers(request.headers);
    headers.delete("Authorization");
    headers.set("X-User", user);
    url.pathname = url.pathname.slice("/api".length);
    return env.API.fetch(new Request(url, new Request(request, { headers })));
  },
};

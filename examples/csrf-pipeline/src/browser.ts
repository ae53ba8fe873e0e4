// What a browser tells about where a request comes from.

/** The id of the session, or undefined. Nobody else can know it: it is a random UUID that no script reads. */
export function cookieOf(request: Request): string | undefined {
  return request.headers.get("Cookie")?.match(/(?:^|;\s*)session=([0-9a-f-]{36})(?:;|$)/)?.[1];
}

export function setCookie(request: Request, id: string): string {
  const secure = new URL(request.url).protocol === "https:" ? "; Secure" : "";
  return `session=${id}; Path=/; HttpOnly; SameSite=Strict; Max-Age=86400${secure}`;
}

/** Browsers add Origin to whatever changes something and to every WebSocket; a page cannot change it. */
export function sameOrigin(request: Request): boolean {
  const { host } = new URL(request.url);
  const origin = request.headers.get("Origin");
  return origin !== null && URL.canParse(origin) && new URL(origin).host === host;
}

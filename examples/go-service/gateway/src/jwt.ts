// verify returns the subject of a JSON Web Token that was signed with secret by
// HS256 and has not expired, or undefined.
export async function verify(token: string, secret: string): Promise<string | undefined> {
  try {
    const [head, body, signature] = token.split(".");
    const { alg } = JSON.parse(text(head));
    if (alg !== "HS256") return undefined; // never what the token likes best
    const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(secret), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
    const valid = await crypto.subtle.verify("HMAC", key, bytes(signature), new TextEncoder().encode(`${head}.${body}`));
    const { sub, exp } = JSON.parse(text(body));
    return valid && typeof sub === "string" && sub !== "" && typeof exp === "number" && exp * 1000 > Date.now() ? sub : undefined;
  } catch {
    return undefined; // not a token at all
  }
}

function bytes(base64url: string): Uint8Array {
  return Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
}

const text = (base64url: string) => new TextDecoder().decode(bytes(base64url));

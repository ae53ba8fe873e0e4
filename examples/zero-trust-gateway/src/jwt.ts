// Bearer tokens: JSON Web Tokens (RFC 7519) verified with Web Crypto.

import { Refusal } from "./respond";

/** What the gateway believes about the caller, once the token is verified. */
export interface Identity {
  /** The token's sub: 1 to 200 visible ASCII characters, so that it fits a header and a KV key. */
  id: string;
  /** The token's role; "user" when it has none. */
  role: string;
}

/** The settings that tokens are verified against. */
export interface TokenSettings {
  /** The HS256 key for tokens without a kid, at least 32 bytes (RFC 7518, 3.2). Empty: there is none. */
  secret: string;
  /** Keys for tokens with a kid. */
  publicKeys: readonly PublicKey[];
  issuer: string;
  audience: string;
}

/** A JWK that says which key it is and the one algorithm it is for. */
export type PublicKey = JsonWebKey & { kid: string; alg: "RS256" | "ES256" };

/** How far clocks may be apart, in seconds. */
const leeway = 10;

/** Longer tokens are refused unread. */
const maxTokenLength = 8192;

const algorithms = {
  HS256: { name: "HMAC", hash: "SHA-256" },
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
} as const;

interface VerificationKey {
  alg: keyof typeof algorithms;
  key: CryptoKey;
}

/**
 * Verifies the token of an Authorization header at a time in seconds, or throws
 * a refusal with status 401.
 *
 * The algorithm is a property of the key, never of the token: the token's alg is
 * only compared with it. So neither "none" nor an RSA key used as an HMAC secret
 * gets anywhere. The token may choose among our keys by kid; keys it carries or
 * points to (jwk, jku, x5u) are not looked at.
 */
export async function verifyToken(authorization: string | null, settings: TokenSettings, now: number): Promise<Identity> {
  if (authorization === null) throw unauthorized("missing_token", "a bearer token is required");
  const token = /^bearer +(\S+)$/i.exec(authorization)?.[1];
  const parts = token?.split(".") ?? [];
  if (token === undefined || token.length > maxTokenLength || parts.length !== 3) {
    throw unauthorized("malformed_token", "the Authorization header holds no JSON Web Token");
  }
  const [head, payload, signature] = parts as [string, string, string];

  const header = parseObject(head);
  const kid = header["kid"];
  const { alg, key } = await findKey(kid, settings);
  if (header["alg"] !== alg) throw unauthorized("unsupported_alg", "the token's algorithm is not the one its key is for");
  // "crit" names extensions that must be understood; we understand none.
  if ("crit" in header) throw unauthorized("malformed_token", "the token requires extensions that are not supported");

  const signed = new TextEncoder().encode(`${head}.${payload}`);
  if (!(await crypto.subtle.verify(algorithms[alg], key, decode(signature), signed))) {
    throw unauthorized("bad_signature", "the token's signature is wrong");
  }
  return checkClaims(parseObject(payload), settings, now);
}

function checkClaims(claims: Record<string, unknown>, settings: TokenSettings, now: number): Identity {
  const { iss, aud, sub, role = "user", exp, nbf = 0, iat = 0 } = claims;
  if (iss !== settings.issuer) throw unauthorized("wrong_issuer", "the token is from another issuer");
  if (!(Array.isArray(aud) ? aud : [aud]).includes(settings.audience)) {
    throw unauthorized("wrong_audience", "the token is for another audience");
  }
  if (typeof exp !== "number" || typeof nbf !== "number" || typeof iat !== "number") {
    throw unauthorized("invalid_claims", "exp is required, and exp, nbf and iat are numbers");
  }
  if (exp <= now - leeway) throw unauthorized("token_expired", "the token has expired");
  if (nbf > now + leeway || iat > now + leeway) throw unauthorized("token_not_yet_valid", "the token is not valid yet");
  if (typeof sub !== "string" || !/^[\x21-\x7e]{1,200}$/.test(sub)) {
    throw unauthorized("invalid_claims", "sub is required: 1 to 200 visible ASCII characters");
  }
  if (typeof role !== "string" || !/^[\w-]{1,32}$/.test(role)) {
    throw unauthorized("invalid_claims", "role is 1 to 32 letters, digits, _ or -");
  }
  return { id: sub, role };
}

/** Keys are imported once per isolate and settings. */
const imported = new WeakMap<TokenSettings, Promise<Map<string | undefined, VerificationKey>>>();

async function findKey(kid: unknown, settings: TokenSettings): Promise<VerificationKey> {
  let keys = imported.get(settings);
  if (keys === undefined) {
    keys = importKeys(settings);
    imported.set(settings, keys);
  }
  const found = (await keys).get(kid as string | undefined);
  if (found === undefined) throw unauthorized("unknown_key", "the token is signed with a key that is not configured");
  return found;
}

async function importKeys({ secret, publicKeys }: TokenSettings): Promise<Map<string | undefined, VerificationKey>> {
  const keys = new Map<string | undefined, VerificationKey>();
  if (secret !== "") {
    const raw = new TextEncoder().encode(secret);
    if (raw.length < 32) throw new Error("JWT_SECRET has less than the 32 bytes that HS256 requires");
    keys.set(undefined, { alg: "HS256", key: await crypto.subtle.importKey("raw", raw, algorithms.HS256, false, ["verify"]) });
  }
  for (const { kid, alg, ...jwk } of publicKeys) {
    if (typeof kid !== "string" || !["RS256", "ES256"].includes(alg)) {
      throw new Error('every key in JWT_PUBLIC_KEYS needs "kid", and "alg" RS256 or ES256');
    }
    keys.set(kid, { alg, key: await crypto.subtle.importKey("jwk", jwk, algorithms[alg], false, ["verify"]) });
  }
  if (keys.size === 0) throw new Error("no key to verify tokens with: set the secret JWT_SECRET or the var JWT_PUBLIC_KEYS");
  return keys;
}

function parseObject(part: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(decode(part)));
  } catch {
    // Falls through to the refusal: undefined is no object.
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw unauthorized("malformed_token", "the token is not three base64url parts with JSON inside");
  }
  return value as Record<string, unknown>;
}

/**
 * Decodes base64url as RFC 7515 wants it: no padding, no other alphabet, no
 * white space, and no stray bits at the end, so that one value has one spelling.
 */
export function decode(text: string): Uint8Array<ArrayBuffer> {
  const last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".indexOf(text.at(-1) ?? "A");
  const stray = [0, 63, 15, 3][text.length % 4]! & last;
  if (!/^[\w-]*$/.test(text) || text.length % 4 === 1 || stray !== 0) {
    throw unauthorized("malformed_token", "the token is not three base64url parts with JSON inside");
  }
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}

function unauthorized(code: string, message: string): Refusal {
  // RFC 6750, 3.1: a request without any token gets no error code in the challenge.
  const challenge = code === "missing_token" ? 'Bearer realm="gateway"' : `Bearer realm="gateway", error="invalid_token", error_description="${message}"`;
  return new Refusal(401, code, message, { "WWW-Authenticate": challenge });
}

// The gateway's jwt.ts on the library jose, with the same face, so that the two
// can be held against the same table of tokens.

import { errors, importJWK, jwtVerify, type CryptoKey, type JWTHeaderParameters, type JWTPayload } from "jose";
import { Refusal } from "./respond";

export interface Identity {
  id: string;
  role: string;
}

export type PublicKey = JsonWebKey & { kid: string; alg: "RS256" | "ES256" };

export interface TokenSettings {
  secret: string;
  publicKeys: readonly PublicKey[];
  issuer: string;
  audience: string;
}

const leeway = 10;

export async function verifyToken(authorization: string | null, settings: TokenSettings, now: number): Promise<Identity> {
  if (authorization === null) throw unauthorized("missing_token");
  const token = /^bearer +(\S+)$/i.exec(authorization)?.[1];
  if (token === undefined) throw unauthorized("malformed_token");
  try {
    const { payload } = await jwtVerify(token, (header) => findKey(header, settings), {
      algorithms: ["HS256", "RS256", "ES256"],
      issuer: settings.issuer,
      audience: settings.audience,
      requiredClaims: ["exp", "sub"],
      clockTolerance: leeway,
      currentDate: new Date(now * 1000),
    });
    return identity(payload, now);
  } catch (error) {
    throw asRefusal(error);
  }
}

async function findKey(header: JWTHeaderParameters, { secret, publicKeys }: TokenSettings): Promise<CryptoKey | Uint8Array> {
  const jwk = publicKeys.find((key) => key.kid === header.kid);
  if (header.kid !== undefined && jwk === undefined) throw unauthorized("unknown_key");
  if (header.alg !== (jwk?.alg ?? "HS256")) throw unauthorized("unsupported_alg");
  return jwk === undefined ? new TextEncoder().encode(secret) : importJWK({ ...jwk, kty: jwk.kty! }, jwk.alg);
}

function identity({ sub, role = "user", iat = 0 }: JWTPayload, now: number): Identity {
  if (iat > now + leeway) throw unauthorized("token_not_yet_valid");
  if (typeof sub !== "string" || !/^[\x21-\x7e]{1,200}$/.test(sub)) throw unauthorized("invalid_claims");
  if (typeof role !== "string" || !/^[\w-]{1,32}$/.test(role)) throw unauthorized("invalid_claims");
  return { id: sub, role };
}

function asRefusal(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) return unauthorized("token_expired");
  if (error instanceof errors.JOSEAlgNotAllowed) return unauthorized("unsupported_alg");
  if (error instanceof errors.JWSSignatureVerificationFailed) return unauthorized("bad_signature");
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "iss") return unauthorized("wrong_issuer");
    if (error.claim === "aud") return unauthorized("wrong_audience");
    if (error.claim === "nbf" && error.reason === "check_failed") return unauthorized("token_not_yet_valid");
    return unauthorized("invalid_claims");
  }
  if (error instanceof errors.JOSEError) return unauthorized("malformed_token");
  return error;
}

function unauthorized(code: string): Refusal {
  return new Refusal(401, code, code, { "WWW-Authenticate": 'Bearer realm="gateway"' });
}

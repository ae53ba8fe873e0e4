// The bindings of the gateway, and its settings read from them.

import type { Billing } from "../billing/src/index";
import { Networks } from "./cidr";
import type { PublicKey, TokenSettings } from "./jwt";

/** The bindings, as wrangler.jsonc names them. Vars are text when they come from a command line. */
export interface Env {
  USERS: Fetcher;
  ORDERS: Fetcher;
  BILLING: Stub<Billing>;
  STATE: KVNamespace;
  AUDIT_DB: D1Database;
  JWT_SECRET?: string;
  JWT_PUBLIC_KEYS: string | PublicKey[];
  JWT_ISSUER: string;
  JWT_AUDIENCE: string;
  RATE_LIMIT: string | number;
  RATE_WINDOW_SECONDS: string | number;
  MAX_BODY_BYTES: string | number;
  UPSTREAM_TIMEOUT_MS: string | number;
  CORS_ORIGINS: string | string[];
  IP_ALLOW: string | Record<string, string[]>;
}

/** What a caller of an RPC entrypoint sees: its methods, and all of them asynchronous. */
type Stub<T> = {
  [K in keyof T as T[K] extends (...args: never[]) => unknown ? K : never]: T[K] extends (...args: infer A) => infer R
    ? (...args: A) => Promise<Awaited<R>>
    : never;
};

/** Where modules keep what outlives a request, and how they finish writing it after the answer. */
export interface State {
  kv: KVNamespace;
  waitUntil(work: Promise<unknown>): void;
}

export interface Settings {
  token: TokenSettings;
  rateLimit: number;
  rateWindowMs: number;
  maxBody: number;
  upstreamTimeoutMs: number;
  corsOrigins: readonly string[];
  /** Path prefixes and the networks that may use them. */
  allow: readonly (readonly [prefix: string, networks: Networks])[];
}

/** Reads the settings. Throws on the first that makes no sense: a gateway that misunderstands its settings must not open. */
export function readSettings(env: Env): Settings {
  return {
    token: {
      secret: env.JWT_SECRET ?? "",
      publicKeys: json("JWT_PUBLIC_KEYS", env.JWT_PUBLIC_KEYS),
      issuer: text("JWT_ISSUER", env.JWT_ISSUER),
      audience: text("JWT_AUDIENCE", env.JWT_AUDIENCE),
    },
    rateLimit: positive("RATE_LIMIT", env.RATE_LIMIT),
    rateWindowMs: positive("RATE_WINDOW_SECONDS", env.RATE_WINDOW_SECONDS) * 1000,
    maxBody: positive("MAX_BODY_BYTES", env.MAX_BODY_BYTES),
    upstreamTimeoutMs: positive("UPSTREAM_TIMEOUT_MS", env.UPSTREAM_TIMEOUT_MS),
    corsOrigins: json("CORS_ORIGINS", env.CORS_ORIGINS),
    allow: Object.entries(json("IP_ALLOW", env.IP_ALLOW)).map(([prefix, list]) => [prefix, new Networks(list)] as const),
  };
}

function text(name: string, value: string | undefined): string {
  if (!value) throw new Error(`the var ${name} is missing`);
  return value;
}

function positive(name: string, value: string | number): number {
  const n = Number(value);
  if (!Number.isSafeInteger(n) || n <= 0) throw new Error(`the var ${name} is "${value}", not a positive whole number`);
  return n;
}

function json<T>(name: string, value: string | T): T {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value) as T;
  } catch {
    throw new Error(`the var ${name} is not JSON`);
  }
}

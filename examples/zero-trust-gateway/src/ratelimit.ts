// A sliding-window rate limit per user, kept in Workers KV.
//
// The window slides: at every moment, the requests of the last windowMs are
// counted by their own times, so no burst of twice the limit fits around the
// edge of a fixed window.
//
// What KV permits. KV has no atomic increment, takes one write per second to a
// key, and a read elsewhere may be up to a minute old. A counter that is read,
// incremented and put back loses counts whenever two requests overlap. So every
// isolate keeps a log of its own requests in memory, where deciding and counting
// are one step, and KV only tells isolates about each other: the value of a user
// is a log per isolate, each isolate replaces its own and keeps the others, at
// most once a second. A log that a concurrent write of another isolate dropped
// comes back with the next write of its owner.
//
// What follows. Within one isolate the limit is exact. Between isolates it is as
// exact as KV is fresh; the worst case is the limit times the number of isolates
// that the user reaches before they hear of each other. Where that is too much,
// use the rate limiting binding or a Durable Object.

import type { State } from "./settings";

/** The answer for one request. */
export interface Verdict {
  allowed: boolean;
  limit: number;
  /** Requests left at this moment. */
  remaining: number;
  /** When the number of remaining requests next grows, in milliseconds since 1970. */
  resetAt: number;
}

/** Times of requests in milliseconds since 1970, per isolate. */
type SharedLogs = Record<string, number[]>;

/** KV refuses to expire a value sooner. https://developers.cloudflare.com/kv/api/write-key-value-pairs/ */
const minTTL = 60;
/** KV accepts one write per second to a key. */
const writeEvery = 1000;
/** A write that has not been heard of for so long is taken for lost. */
const writeLease = 10_000;
/** Users remembered by an isolate; the longest idle are forgotten first. */
const maxUsers = 10_000;

interface UserLog {
  /** Times of this isolate's requests, ascending. */
  mine: number[];
  writtenAt: number;
  /** Until then a write under way is trusted to carry what is added to mine. */
  writeUntil: number;
}

export class RateLimiter {
  readonly #users = new Map<string, UserLog>();
  /** Names this isolate in the shared value. Made on first use: there is no randomness before the first request. */
  #self = "";

  constructor(
    readonly limit: number,
    readonly windowMs: number,
    readonly clock: () => number = Date.now,
    readonly sleep: (ms: number) => Promise<void> = (ms) => scheduler.wait(ms),
  ) {}

  /** Counts one request of a user, if it is within the limit. A refused request is not counted. */
  async take(user: string, state: State): Promise<Verdict> {
    this.#self ||= crypto.randomUUID();
    const key = `rate:${user}`;
    const shared = await this.#read(key, state);

    // From here to the end nothing is awaited: no other request comes between.
    const now = this.clock();
    const log = this.#touch(user);
    const others = Object.entries(shared).filter(([isolate]) => isolate !== this.#self);
    const times = this.#current([...log.mine, ...others.flatMap(([, times]) => times)], now);
    const allowed = times.length < this.limit;
    if (allowed) {
      log.mine = [...this.#current(log.mine, now), now];
      times.push(now);
      if (now >= log.writeUntil) {
        log.writeUntil = now + writeLease;
        state.waitUntil(this.#write(key, log, state));
      }
    }
    const remaining = Math.max(0, this.limit - times.length);
    // Room is made by the oldest request that is counted against the limit.
    const oldest = times[Math.max(0, times.length - this.limit)]!;
    return { allowed, limit: this.limit, remaining, resetAt: oldest + this.windowMs };
  }

  /** The times within the window that ends now, ascending. A time ahead of our clock counts as now. */
  #current(times: number[], now: number): number[] {
    return times.filter((t) => t > now - this.windowMs).map((t) => Math.min(t, now)).sort((a, b) => a - b);
  }

  #touch(user: string): UserLog {
    const log = this.#users.get(user) ?? { mine: [], writtenAt: 0, writeUntil: 0 };
    this.#users.delete(user);
    this.#users.set(user, log);
    if (this.#users.size > maxUsers) this.#users.delete(this.#users.keys().next().value!);
    return log;
  }

  async #read(key: string, { kv }: State): Promise<SharedLogs> {
    try {
      return (await kv.get<SharedLogs>(key, "json")) ?? {};
    } catch (error) {
      // Better a limit per isolate for a while than no service.
      console.error("rate limit: KV cannot be read, counting in this isolate only:", error);
      return {};
    }
  }

  async #write(key: string, log: UserLog, state: State): Promise<void> {
    const wait = log.writtenAt + writeEvery - this.clock();
    if (wait > 0) await this.sleep(wait);
    try {
      const shared = await this.#read(key, state);
      const now = this.clock();
      log.writtenAt = now;
      log.writeUntil = 0; // what is added from here on is for the next write
      const logs: SharedLogs = { ...shared, [this.#self]: log.mine };
      for (const [isolate, times] of Object.entries(logs)) {
        logs[isolate] = this.#current(times, now);
        if (logs[isolate].length === 0) delete logs[isolate];
      }
      await state.kv.put(key, JSON.stringify(logs), { expirationTtl: Math.max(minTTL, Math.ceil(this.windowMs / 1000)) });
    } catch (error) {
      console.error("rate limit: KV cannot be written, other isolates do not hear of this one:", error);
    }
  }
}

/** The verdict as headers. X-RateLimit-Reset is in seconds since 1970, Retry-After in seconds from now. */
export function rateHeaders(verdict: Verdict, now: number): Record<string, string> {
  const headers: Record<string, string> = {
    "X-RateLimit-Limit": String(verdict.limit),
    "X-RateLimit-Remaining": String(verdict.remaining),
    "X-RateLimit-Reset": String(Math.ceil(verdict.resetAt / 1000)),
  };
  if (!verdict.allowed) headers["Retry-After"] = String(Math.max(1, Math.ceil((verdict.resetAt - now) / 1000)));
  return headers;
}

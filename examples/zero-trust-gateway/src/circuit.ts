// A circuit breaker per private service.
//
//   closed     requests pass and their outcomes are counted. At least minFailures
//              failures within windowMs that are at least half of the outcomes
//              open the circuit.
//   open       requests are refused with 503 for openMs.
//   half-open  one request, the probe, passes; the rest is refused until its
//              outcome is known. Success closes the circuit, failure opens it anew.
//
// Outcomes are counted in the isolate's memory. KV carries only the news that a
// circuit opened or closed, which is rare enough for KV's one write per second to
// a key; isolates look for news every few seconds. KV has no compare-and-swap, so
// each isolate sends its own probe.

import { Refusal } from "./respond";
import type { State } from "./settings";

/** How a request that was let through ended. Neutral says nothing about the service: the client was at fault. */
export type Outcome = "success" | "failure" | "neutral";

const minFailures = 5;
const windowMs = 10_000;
const openMs = 30_000;
const newsEvery = 5_000;
/**
 * A probe whose outcome is not heard of for so long (its client went away, and
 * the runtime ended the request) gives its place to another. Longer than any
 * sensible UPSTREAM_TIMEOUT_MS.
 */
const probeLease = 30_000;

export class Circuit {
  /** Per second, the number of successes and failures. */
  #outcomes = new Map<number, { good: number; bad: number }>();
  /** When the open circuit becomes half-open; 0 while it is closed. */
  #openUntil = 0;
  /** Until when the place of the probe is taken. */
  #probeUntil = 0;
  /** What KV may still say of an opening that is over. */
  #closedSince = 0;
  #newsAt = -Infinity;

  constructor(
    readonly service: string,
    readonly clock: () => number = Date.now,
  ) {}

  /** Lets a request through and returns the function that reports its outcome, or throws a refusal with status 503. */
  async enter(state: State): Promise<(outcome: Outcome) => void> {
    await this.#hearNews(state);
    const now = this.clock();
    if (this.#openUntil === 0) return (outcome) => this.#count(outcome, state);

    const until = Math.max(this.#openUntil, this.#probeUntil);
    if (now < until) {
      throw new Refusal(503, "circuit_open", `${this.service} is failing and gets a rest; try again later`, {
        "Retry-After": String(Math.ceil((until - now) / 1000)),
      });
    }
    this.#probeUntil = now + probeLease;
    return (outcome) => {
      this.#probeUntil = 0;
      if (outcome === "success") this.#close(state);
      if (outcome === "failure") this.#open(state);
    };
  }

  #count(outcome: Outcome, state: State): void {
    // A late outcome of a request from before the circuit opened changes nothing.
    if (outcome === "neutral" || this.#openUntil !== 0) return;
    const now = this.clock();
    const second = Math.floor(now / 1000);
    const counts = this.#outcomes.get(second) ?? { good: 0, bad: 0 };
    this.#outcomes.set(second, counts);
    if (outcome === "success") counts.good++;
    else counts.bad++;

    let good = 0;
    let bad = 0;
    for (const [s, c] of this.#outcomes) {
      if (s * 1000 <= now - windowMs) this.#outcomes.delete(s);
      else (good += c.good), (bad += c.bad);
    }
    if (bad >= minFailures && bad >= good) this.#open(state);
  }

  #open({ kv, waitUntil }: State): void {
    this.#outcomes.clear();
    this.#openUntil = this.clock() + openMs;
    console.warn(`circuit of ${this.service}: open for ${openMs / 1000} s`);
    waitUntil(this.#tell(kv.put(this.#key, String(this.#openUntil), { expirationTtl: (2 * openMs) / 1000 })));
  }

  #close({ kv, waitUntil }: State): void {
    this.#closedSince = this.#openUntil;
    this.#openUntil = 0;
    console.warn(`circuit of ${this.service}: closed`);
    waitUntil(this.#tell(kv.delete(this.#key)));
  }

  async #tell(write: Promise<void>): Promise<void> {
    try {
      await write;
    } catch (error) {
      console.error(`circuit of ${this.service}: KV cannot be written, other isolates do not hear of this:`, error);
    }
  }

  async #hearNews({ kv }: State): Promise<void> {
    if (this.clock() - this.#newsAt < newsEvery) return;
    this.#newsAt = this.clock();
    try {
      const until = Number((await kv.get(this.#key)) ?? 0);
      if (until > Math.max(this.#openUntil, this.#closedSince)) this.#openUntil = until;
    } catch (error) {
      console.error(`circuit of ${this.service}: KV cannot be read, going by this isolate only:`, error);
    }
  }

  get #key(): string {
    return `circuit:${this.service}`;
  }
}

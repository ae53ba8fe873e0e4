// The tokens of one session. Each is good for one request, and for ten minutes.
import { DurableObject } from "cloudflare:workers";

interface Kept {
  digest: ArrayBuffer;
  until: number;
}

export type Verdict = { token: string; refused?: undefined } | { refused: "bad_token" | "blocked" };

const lifetime = 10 * 60_000;
const atOnce = 8; // of a page that sends several requests at the same time; the oldest gives way
const wrongAtMost = 3;
const block = 60_000;

export class Session extends DurableObject {
  /** Makes a token. Only its digest is kept. */
  async issue(): Promise<string> {
    const token = [...crypto.getRandomValues(new Uint8Array(32))].map((b) => b.toString(16).padStart(2, "0")).join("");
    const digest = await digestOf(token);
    const kept = await this.kept();
    await this.ctx.storage.put("tokens", [...kept, { digest, until: Date.now() + lifetime }].slice(-atOnce));
    return token;
  }

  /** Takes a token in and gives the next one. */
  async take(token: string): Promise<Verdict> {
    const wrong = (await this.ctx.storage.get<{ times: number; last: number }>("wrong")) ?? { times: 0, last: 0 };
    const recent = Date.now() - wrong.last < block ? wrong.times : 0;
    if (recent >= wrongAtMost) return { refused: "blocked" };
    const digest = await digestOf(token);
    const kept = await this.kept();
    // Every kept token is compared, each in constant time: how long it takes tells nothing.
    const matches = kept.map((k) => crypto.subtle.timingSafeEqual(k.digest, digest));
    if (!matches.includes(true)) {
      await this.ctx.storage.put("wrong", { times: recent + 1, last: Date.now() });
      return { refused: "bad_token" };
    }
    await this.ctx.storage.put("tokens", kept.filter((_, i) => !matches[i]));
    await this.ctx.storage.delete("wrong");
    return { token: await this.issue() };
  }

  private async kept(): Promise<Kept[]> {
    return ((await this.ctx.storage.get<Kept[]>("tokens")) ?? []).filter((k) => k.until > Date.now());
  }
}

const digestOf = (token: string) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));

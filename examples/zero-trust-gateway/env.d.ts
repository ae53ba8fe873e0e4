// The part of the Workers runtime that this example uses and that TypeScript's
// own "webworker" library does not know. It is here so that an editor checks the
// example without any package being installed; a project of your own would
// rather install @cloudflare/workers-types.

interface ExecutionContext<Props = unknown> {
  waitUntil(work: Promise<unknown>): void;
  readonly props: Props;
}

interface ExportedHandler<Env> {
  fetch(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response>;
}

interface Fetcher {
  fetch(input: Request | string | URL, init?: RequestInit): Promise<Response>;
}

interface KVNamespace {
  get(key: string): Promise<string | null>;
  get<T>(key: string, type: "json"): Promise<T | null>;
  put(key: string, value: string, options?: { expirationTtl?: number }): Promise<void>;
  delete(key: string): Promise<void>;
}

interface D1PreparedStatement {
  bind(...values: (string | number | null)[]): D1PreparedStatement;
  run(): Promise<unknown>;
}

interface D1Database {
  prepare(sql: string): D1PreparedStatement;
}

declare const scheduler: { wait(milliseconds: number): Promise<void> };

declare module "cloudflare:workers" {
  export abstract class WorkerEntrypoint<Env = unknown, Props = unknown> {
    protected readonly env: Env;
    protected readonly ctx: ExecutionContext<Props>;
  }
}

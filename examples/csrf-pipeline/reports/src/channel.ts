// One object that tells many clients what happens. Its WebSockets hibernate: while
// nothing happens, the object is not in memory and the sockets stay open.
import { DurableObject } from "cloudflare:workers";

export interface Progress {
  id: string;
  owner: string;
  title: string;
  done: number;
  parts: number;
}

export class Channel extends DurableObject {
  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS reports (id TEXT PRIMARY KEY, owner TEXT, title TEXT, done INTEGER, parts INTEGER)");
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong")); // answered without waking the object
  }

  override fetch(): Response {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Keeps the progress of a report and tells it to everybody who listens, but not whose it is. */
  publish({ id, owner, title, done, parts }: Progress): void {
    this.ctx.storage.sql.exec(
      "INSERT INTO reports VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET done = MAX(done, excluded.done)", id, owner, title, done, parts);
    const text = JSON.stringify({ id, title, done, parts });
    for (const socket of this.ctx.getWebSockets()) socket.send(text);
  }

  progress(id: string): Progress | null {
    return (this.ctx.storage.sql.exec("SELECT * FROM reports WHERE id = ?", id).toArray()[0] as unknown as Progress) ?? null;
  }

  override webSocketMessage(): void {} // nobody has anything to say here

  override webSocketClose(socket: WebSocket, code: number, reason: string, clean: boolean): void {
    if (clean) socket.close(code, reason);
  }
}

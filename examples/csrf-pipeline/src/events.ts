// The progress of a report as server-sent events.
import type { Report } from "./index";

const ended = new Set(["complete", "errored", "terminated", "unknown"]);
const pause = 200;

/** Sends an event whenever what ask returns has changed, until the report has ended or the client has left. */
export function follow(ask: () => Promise<Report | null>, left: AbortSignal): Response {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const send = async () => {
    const writer = writable.getWriter();
    const encoder = new TextEncoder();
    try {
      for (let last = "", report: Report | null; !left.aborted && (report = await ask()); await scheduler.wait(pause)) {
        const text = JSON.stringify(report);
        if (text !== last) await writer.write(encoder.encode(`data: ${(last = text)}\n\n`));
        if (ended.has(report.status)) break;
      }
      await writer.close();
    } catch (e) {
      await writer.abort(e); // the client has left, or the report cannot be read
    }
  };
  void send();
  return new Response(readable, { headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" } });
}

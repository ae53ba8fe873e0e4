// A limit on request bodies that holds whatever the client says about their size.

import { Refusal } from "./respond";

/** A request body under a limit. */
export interface LimitedBody {
  /** What may be read of the body; fails with the refusal once the body turns out too large. */
  stream: ReadableStream<Uint8Array> | null;
  /** The refusal, once there is one. */
  readonly refusal: Refusal | null;
}

/**
 * Puts a request's body under a limit of max bytes.
 *
 * A body with Content-Length is refused by that number, before a byte is read,
 * and is otherwise passed on untouched, since HTTP ends it where the number says.
 *
 * A body without one is read with buffers that are never larger than what is
 * left of the limit plus one byte: that byte is how we learn that the client
 * has more. Then the rest is cancelled, unread, and the reader gets an error.
 *
 * The caller answers 413 if refusal is set when the upstream's answer is there
 * (or has failed). An upstream that answers before it has read its request keeps
 * its answer: its status line is already on the way to the client. The bytes
 * behind the limit do not reach it in that case either.
 */
export function limitBody(request: Request, max: number): LimitedBody {
  const tooLarge = () => new Refusal(413, "body_too_large", `the request body is larger than ${max} bytes`);
  if (request.body === null) return { stream: null, refusal: null };

  const length = request.headers.get("Content-Length");
  if (length !== null) {
    if (!/^\d+$/.test(length)) throw new Refusal(400, "bad_content_length", "Content-Length is not a number");
    if (Number(length) > max) throw tooLarge();
    return { stream: request.body, refusal: null };
  }

  const reader = request.body.getReader({ mode: "byob" });
  let left = max;
  let refusal: Refusal | null = null;
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read(new Uint8Array(Math.min(left + 1, 64 * 1024)));
        if (done) return controller.close();
        left -= value.byteLength;
        if (left >= 0) return controller.enqueue(value);
        refusal = tooLarge();
        controller.error(refusal);
        await reader.cancel(refusal);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 }, // nothing is read before the upstream asks for it
  );
  return {
    stream,
    get refusal() {
      return refusal;
    },
  };
}

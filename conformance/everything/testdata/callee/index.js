import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

class Counter extends RpcTarget {
  #n = 0;
  increment(by) {
    return (this.#n += by);
  }
}

const messages = [];

export default class extends WorkerEntrypoint {
  fetch(request) {
    return new Response("callee got " + request.url);
  }
  add(a, b) {
    return a + b;
  }
  queue(batch) {
    for (const { body, attempts } of batch.messages) messages.push([batch.queue, body, attempts]);
  }
  received() {
    return messages;
  }
  counter() {
    return new Counter();
  }
}

export class Named extends WorkerEntrypoint {
  who() {
    return this.ctx.props.caller;
  }
}

import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

class Counter extends RpcTarget {
  #n = 0;
  increment(by) {
    return (this.#n += by);
  }
}

export default class extends WorkerEntrypoint {
  fetch(request) {
    return new Response("callee got " + request.url);
  }
  add(a, b) {
    return a + b;
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

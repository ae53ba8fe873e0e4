import { WorkerEntrypoint } from "cloudflare:workers";

// The other end of the service binding.
export default class extends WorkerEntrypoint {
  fetch() {
    return new Response("hello");
  }
  add(a, b) {
    return a + b;
  }
}

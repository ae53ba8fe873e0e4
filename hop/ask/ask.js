// How a module of ours calls its handler: ask.go has the other end. What is
// asked goes in the URL and a short answer comes in a header, because a body
// costs the cell's one thread 20 to 25 µs, more than all else that is ours.
import hooks from "node-internal:async_hooks";
import workers from "cloudflare-internal:workers";

// running is set by engine/invocation.js while a handler runs. What it holds has
// count(), which throws where no further subrequest is allowed, and mark, which
// tells the engine whose call it is.
export const running = new hooks.AsyncLocalStorage();

// The runtime's own, before engine/invocation.js puts another one there: ask
// counts for itself.
const { fetch } = workers.ServiceStub.prototype;

const long = 2000; // characters: from there on encoding costs more than a body

// ask sends a question, a text, to what is called operation, and gives the
// answer. It is null where the handler has none.
export async function ask(fetcher, operation, question) {
  const invocation = running.getStore();
  let url = "http://ask/" + operation;
  if (invocation !== undefined) {
    invocation.count();
    if (invocation.ray !== "") url += "%1E" + invocation.mark.slice(1);
  }
  const response = question.length > long
    ? await fetch.call(fetcher, url, { method: "POST", body: question })
    : await fetch.call(fetcher, url + "?" + encodeURIComponent(question));
  return response.headers.get("r") ?? response.text();
}

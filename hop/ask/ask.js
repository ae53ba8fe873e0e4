// How a module of ours calls its handler: ask.go has the other end. What is
// asked goes in the URL and a short answer comes in a header, because a body
// costs the cell's one thread 20 to 25 µs, more than all else that is ours.
import hooks from "node-internal:async_hooks";
import workers from "cloudflare-internal:workers";

// running is set by engine/invocation.js while a handler runs. What it holds has
// count(), which throws where no further subrequest is allowed, and mark, which
// tells the engine whose call it is.
export const running = new hooks.AsyncLocalStorage();

// fetch is the runtime's own, before engine/invocation.js puts one there that
// counts: ask counts for itself.
export const { fetch } = workers.ServiceStub.prototype;

// short is the answer that a response has in its header; null if it has none.
export const short = (response) => response.headers.get("r");

const long = 2000; // characters: from there on encoding costs more than a body

// ask sends a question, a text, to what is called operation, and gives the
// answer.
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
  return short(response) ?? response.text();
}

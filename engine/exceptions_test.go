package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/selvage-edge/selvage/internal/poll"
)

const throws = `
async function thrown(path, waitUntil) {
  switch (path) {
    case "/handler": throw new Error("handler");
    case "/text": throw "text";
    case "/wait": waitUntil((async () => { throw new Error("wait") })()); break;
    case "/timer": await new Promise((done) => setTimeout(() => { done(); throw new Error("timer") }, 1)); break;
    case "/listener": {
      const target = new EventTarget();
      target.addEventListener("x", () => { throw new Error("listener") });
      target.dispatchEvent(new Event("x"));
      break;
    }
    case "/twice": waitUntil((async () => { throw new Error("twice") })()); throw new Error("twice");
    case "/caught": try { throw new Error("caught") } catch {}
  }
  return new Response("ok");
}
`

// Each exception that nobody catches is one line, with its stack.
func TestExceptions(t *testing.T) {
	for _, script := range []struct {
		name, source  string
		serviceWorker bool
	}{
		{"module", throws + `export default { fetch(r, env, ctx) { return thrown(new URL(r.url).pathname, (p) => ctx.waitUntil(p)) } }`, false},
		{"script", throws + `addEventListener("fetch", (e) => e.respondWith(thrown(new URL(e.request.url).pathname, (p) => e.waitUntil(p))))`, true},
	} {
		t.Run(script.name, func(t *testing.T) {
			b := newBench(t, func(o *Options) { o.Exceptions = true })
			v := b.version("web", script.source)
			v.ServiceWorker = script.serviceWorker
			b.deploy(v)
			for _, path := range []string{"handler", "text", "wait", "timer", "listener", "twice", "caught"} {
				b.ask("/web/" + path)
			}
			want := []string{
				"Uncaught Error: handler +1", "Uncaught Error: listener +1", "Uncaught Error: timer +1",
				"Uncaught Error: twice +1", "Uncaught Error: twice +1", "Uncaught Error: wait +1", "Uncaught text",
			}
			var got []string
			all := func() bool {
				got = got[:0]
				b.mu.Lock()
				defer b.mu.Unlock()
				for _, l := range b.lines {
					head, frames, stack := strings.Cut(l.Message, "\n    at ")
					if stack && strings.Contains(frames, ":") && !strings.Contains(frames, invocationModule) {
						head += " +1"
					}
					got = append(got, head)
					if !l.Runtime || l.Level != "error" {
						t.Errorf("line %+v", l)
					}
				}
				slices.Sort(got)
				return len(got) >= len(want)
			}
			poll.Until(t, "the exceptions' lines", all)
			b.ask("/web/handler") // whatever else was to come of the others comes before this
			want = slices.Insert(want, 0, want[0])
			poll.Until(t, "one line more", all)
			if !slices.Equal(got, want) {
				t.Errorf("lines\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// However many invocations end at once, each is reported, and once.
func TestTailOfMany(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Observe = true })
	b.deploy(b.version("web", `export default { fetch(r) { console.log(r.url, "x".repeat(20_000)); return new Response("ok") } }`))
	const clients, each = 20, 20
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for i := range each {
				b.ask(fmt.Sprintf("/web/%d-%d", c, i))
			}
		})
	}
	all.Wait()
	poll.Until(t, "every invocation", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.invocations) >= clients*each
	})
	seen := map[string]int{}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range b.invocations {
		var event struct{ Request struct{ URL string } }
		if err := json.Unmarshal(i.Event, &event); err != nil || len(i.Logs) != 1 {
			t.Fatalf("%v %+v", err, i)
		}
		seen[event.Request.URL]++
	}
	for url, n := range seen {
		if n != 1 {
			t.Errorf("%s is reported %d times", url, n)
		}
	}
	if len(seen) != clients*each {
		t.Errorf("%d URLs, want %d", len(seen), clients*each)
	}
}

func TestHeads(t *testing.T) {
	var h heads
	for i := range maxHeads + 1 {
		h.add(fmt.Sprintf("Error: %d\n    at f (a.js:1:1)", i))
	}
	if h.take("Error: 0") || !h.take("Error: 1\n    at g (b.js:2:2)") || h.take("Error: 1") || len(h) != maxHeads-1 {
		t.Errorf("%d heads, first %q", len(h), h[0])
	}
}

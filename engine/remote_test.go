package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/poll"
)

// roomWorker is a Worker with a class that has something of everything.
const roomWorker = `import { DurableObject, RpcTarget } from "cloudflare:workers";
class Guest extends RpcTarget {
  hello(name) { return "hello " + name }
  get mood() { return "fine" }
}
export class Room extends DurableObject {
  async next() { const n = (await this.ctx.storage.get("n") ?? 0) + 1; await this.ctx.storage.put("n", n); return n }
  get size() { return 42 }
  get nested() { return { a: { b: (x) => "b" + x } } }
  guest() { return new Guest() }
  id() { return [this.ctx.id.name, this.ctx.id.toString()] }
  fail() { throw new TypeError("no room") }
  reset() { this.ctx.abort("room closed") }
  twice(f) { return f(2) }
  stream() { return new Response("from a stream").body }
  async read(stream) { return await new Response(stream).text() }
  wrong() { return Symbol("x") }
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/throw") throw new RangeError("too far");
    if (pathname === "/reset") this.ctx.abort("room closed");
    if (pathname === "/redirect") return Response.redirect("https://room/target");
    if (request.headers.get("Upgrade")) {
      const [client, server] = Object.values(new WebSocketPair());
      this.ctx.acceptWebSocket(server);
      return new Response(null, { status: 101, webSocket: client });
    }
    return Response.json([request.method, request.url, [...request.headers], request.cf?.colo, await request.text()]);
  }
  webSocketMessage(socket, text) { socket.send("echo " + text) }
  webSocketClose(socket, code, reason) { socket.close(code, "because " + reason) }
}
const described = (e) => e instanceof Error ? { [e.name]: e.message, reset: e.durableObjectReset } : e;
const tests = (ns, s, other) => ({
  counts: async () => [await s.next(), await s.next(), await other.next()],
  "a property": () => s.size,
  "a property of properties": () => s.nested.a.b(1),
  "a stub": async () => { using guest = await s.guest(); return [await guest.hello("you"), await guest.mood] },
  "a call of what is to come": () => s.guest().hello("me"),
  "its id": () => s.id(),
  "by id": () => ns.get(ns.idFromString(ns.idFromName("b").toString())).id(),
  "a new one": async () => { const id = ns.newUniqueId(); return (await ns.get(id).id())[1] === id.toString() },
  "ids": () => [ns.idFromName("a").equals(s.id), s.name, s.id.name, s.id.toString()],
  "a bad id": () => ns.idFromString("00"),
  "an id of another class": () => ns.idFromString("0".repeat(64)),
  "a location hint": async () => typeof await ns.get(ns.idFromName("far"), { locationHint: "weur" }).next(),
  "jurisdictions": () => ns.jurisdiction("eu"),
  "an exception": () => s.fail(),
  "no such method": () => s.missing(),
  "no own property": () => s.ctx,
  "a reserved name": () => s.alarm(),
  "a function": () => s.twice((x) => x * 21),
  "a function that throws": () => s.twice(() => { throw new Error("mine") }),
  "a stream": async () => await new Response(await s.stream()).text(),
  "a stream as an argument": () => s.read(new Response("to the room").body),
  "what cannot be sent": () => s.wrong(),
  "fetch": async () => (await s.fetch("https://room/x?y=%20", { method: "POST", body: "text", headers: { "X-A": "1" }, cf: { colo: "SLV" } })).json(),
  "fetch throws": async () => (await s.fetch("https://room/throw")).status,
  "fetch redirected": async () => { const r = await s.fetch("https://room/redirect"); return [r.status, r.url, r.redirected] },
  "fetch not redirected": async () => { const r = await s.fetch("https://room/redirect", { redirect: "manual" }); return [r.status, r.headers.get("location")] },
  "a WebSocket": async () => {
    const { webSocket, status } = await s.fetch("https://room/", { headers: { Upgrade: "websocket" } });
    webSocket.accept();
    const messages = [];
    const closed = new Promise((resolve) => webSocket.addEventListener("close", (e) => resolve([e.code, e.reason])));
    webSocket.addEventListener("message", (e) => { messages.push(e.data); if (messages.length === 2) webSocket.close(4001, "done") });
    webSocket.send("one"); webSocket.send("two");
    return [status, messages, await closed];
  },
  "a reset": () => s.reset(),
  "its stub after it": () => s.next(),
  "another stub after it": async () => typeof await ns.getByName("a").next(),
  "a reset in fetch": () => ns.getByName("a").fetch("https://room/reset"),
  "and then": async () => typeof await ns.getByName("a").next(),
});
export default { async fetch(request, env, ctx) {
  await request.text();
  const ns = new URL(request.url).pathname === "/exports" ? ctx.exports.Room : env.ROOM;
  const results = { env: Object.keys(env) };
  for (const [name, test] of Object.entries(tests(ns, ns.getByName("a"), ns.getByName("b")))) {
    try { results[name] = await test() ?? null } catch (e) { results[name] = described(e) }
  }
  return Response.json(results);
} };
`

func roomVersion(b *bench) *config.Version {
	v := b.version("hotel", roomWorker, bound(b.t, "ROOM", "durable_object_namespace", map[string]string{"class_name": "Room"}))
	v.Classes = []config.Class{{Name: "Room", SQLite: true, Key: "hotel-Room"}}
	return v
}

func guestVersion(b *bench, class string) *config.Version {
	return b.version("guest", roomWorker, bound(b.t, "ROOM", "durable_object_namespace", map[string]string{"class_name": class, "script_name": "hotel"}))
}

// results asks a Worker for what it found.
func (b *bench) results(path string) map[string]json.RawMessage {
	b.t.Helper()
	status, body, err := b.ask(path)
	var list map[string]json.RawMessage
	if err != nil || status != 200 || json.Unmarshal([]byte(body), &list) != nil {
		b.t.Fatalf("%s: %d %q %v", path, status, body, err)
	}
	return list
}

// A class of another Worker behaves in every way as one of the Worker's own,
// which the runtime runs itself.
func TestClassOfAnotherWorker(t *testing.T) {
	own := newBench(t, nil)
	own.deploy(roomVersion(own))
	want := own.results("/hotel/")
	b := newBench(t, nil)
	b.deploy(guestVersion(b, "Room"))
	b.deploy(roomVersion(b))
	got := b.results("/guest/")
	if len(want) < 30 || len(got) != len(want) {
		t.Errorf("%d results, want %d", len(got), len(want))
	}
	for name, w := range want {
		if g := got[name]; string(g) != string(w) {
			t.Errorf("%s: %s, want %s", name, g, w)
		}
	}
	if string(want["counts"]) != "[1,2,1]" || string(want["a WebSocket"]) != `[101,["echo one","echo two"],[4001,"because done"]]` {
		t.Errorf("the own class: %s %s", want["counts"], want["a WebSocket"])
	}
	if n := len(b.Cells()); n != 2 {
		t.Errorf("%d cells", n)
	}
}

// A binding leads to its class and to nothing else: not to another class of the
// Worker, not to its entrypoints, whatever the caller says.
func TestClassOfAnotherWorkerOnly(t *testing.T) {
	b := newBench(t, nil)
	owner := b.version("hotel", `import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
export class Room extends DurableObject { fetch() { return new Response("room " + this.ctx.id.name) } object() { return "room's own" } }
export class Safe extends DurableObject { fetch() { return new Response("safe") } open() { return "safe" } }
export class Office extends WorkerEntrypoint { open() { return "office" } }
export default { async fetch(r, env) { return new Response(env.SAFE.idFromName("a").toString()) } }`,
		bound(t, "SAFE", "durable_object_namespace", map[string]string{"class_name": "Safe"}))
	owner.Classes = []config.Class{{Name: "Room", SQLite: true, Key: "hotel-Room"}, {Name: "Safe", SQLite: true, Key: "hotel-Safe"}}
	b.deploy(owner)
	_, safe, _ := b.ask("/hotel/")
	b.deploy(b.version("guest", fmt.Sprintf(`import * as far from "selvage:remote";
const safe = %q;
export default { async fetch(request, env) {
  const said = async (f) => { try { return await f() } catch (e) { return e.message } };
  const room = env.ROOM.getByName("a");
  const fetched = (headers) => said(async () => (await room.fetch("https://x/", { headers })).text());
  return Response.json([
    Object.keys(env).join(),
    await said(() => env.ROOM.idFromString(safe)),
    await fetched({ "Selvage-Object": JSON.stringify({ id: safe }) }),
    await fetched({ "Selvage-Object": JSON.stringify({ name: "b" }) }),
    await said(() => room.open()),
    await said(() => room.object({ id: safe })),
    await said(() => room.never()),
    await said(() => room.env),
    await said(() => new far.Gate({ props: { class: "Safe" } }, env).object({ id: safe }).open()),
  ]);
} }`, safe), bound(t, "ROOM", "durable_object_namespace", map[string]string{"class_name": "Room", "script_name": "hotel"})))
	const none = `The RPC receiver does not implement the method \"%s\".`
	b.want("/guest/", `["ROOM","Durable Object ID is not valid for this namespace.","room a","room a","`+fmt.Sprintf(none, "open")+`","room's own","`+
		fmt.Sprintf(none, "never")+`","`+fmt.Sprintf(none, "env")+`","Cannot read properties of undefined (reading 'get')"]`)
}

// Whoever comes first waits for the other, and is told what is missing.
func TestClassOfAnotherWorkerAbsent(t *testing.T) {
	b := newBench(t, nil)
	ask := func(class string) string {
		t.Helper()
		b.deploy(b.version("guest", `export default { async fetch(request, env) {
  const said = async (f) => { try { return await f() } catch (e) { return e.message } };
  const o = env.ROOM.getByName("a");
  return Response.json([await said(() => o.next()), await said(async () => (await o.fetch("https://room/")).status)]);
} }`, bound(t, "ROOM", "durable_object_namespace", map[string]string{"class_name": class, "script_name": "hotel"})))
		if err := b.Start(t.Context(), "guest"); err != nil {
			t.Fatal(err)
		}
		_, body, _ := b.ask("/guest/")
		return body
	}
	const missing = `Couldn't find Worker \"hotel\": it is not deployed.`
	if got := ask("Room"); got != `["`+missing+`","`+missing+`"]` {
		t.Errorf("no such Worker: %s", got)
	}
	b.deploy(roomVersion(b))
	poll.Until(t, "the class is found", func() bool { return ask("Room") == "[1,200]" })
	const other = `Worker \"hotel\" has no Durable Object class named \"Hall\".`
	if got := ask("Hall"); got != `["`+other+`","`+other+`"]` {
		t.Errorf("no such class: %s", got)
	}
	// A class by the same name that has been made anew has other objects, under
	// other ids.
	v := roomVersion(b)
	v.Classes[0].Key = "hotel-Room-2"
	ask("Room")
	b.deploy(v)
	poll.Until(t, "the new class is reached", func() bool {
		_, body, _ := b.ask("/guest/")
		return body == "[1,200]"
	})
}

// Neither new versions of either Worker nor the end of a process under load lose
// a count; what fails is only what was under way as a process was killed.
func TestClassOfAnotherWorkerChanges(t *testing.T) {
	b := newBench(t, nil)
	caller := func(n int) *config.Version {
		return b.version("web", fmt.Sprintf(`export default { async fetch(request, env) { return new Response(String(await env.C.getByName("a").next())) } } // %d`, n),
			bound(t, "C", "durable_object_namespace", map[string]string{"class_name": "Counter", "script_name": "do"}))
	}
	b.deploy(b.counter(0))
	b.deploy(caller(0))
	b.want("/web/", "1")
	b.want("/do/", "2")

	var mu sync.Mutex
	last, strict := 2, true
	var failures []string
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				before := last
				mu.Unlock()
				status, body, err := b.ask("/web/")
				n, _ := strconv.Atoi(body)
				mu.Lock()
				switch {
				case err != nil || status != 200:
					if strict {
						failures = append(failures, fmt.Sprint(status, body, err))
					}
				case n <= before:
					failures = append(failures, fmt.Sprintf("%d after %d", n, before))
				default:
					last = max(last, n)
				}
				mu.Unlock()
			}
		})
	}
	for i := range 2 {
		b.deploy(b.counter(i + 1))
		if err := b.Start(t.Context(), "do"); err != nil {
			t.Error(err)
		}
		b.deploy(caller(i + 1))
		if err := b.Start(t.Context(), "web"); err != nil {
			t.Error(err)
		}
	}
	mu.Lock()
	strict = false
	mu.Unlock()
	poll.Until(t, "the objects' cell is killed", func() bool {
		c, ok := b.cellOf("do")
		return ok && syscall.Kill(c.PID, syscall.SIGKILL) == nil
	})
	mu.Lock()
	killed := last
	mu.Unlock()
	poll.Until(t, "it counts on", func() bool { mu.Lock(); defer mu.Unlock(); return last > killed+10 })
	cancel()
	wg.Wait()
	for _, f := range failures {
		t.Error(f)
	}
}

// Objects that are called for the first time as their process ends are reached in
// the next one, whichever of the two took which connection.
func TestClassOfAnotherWorkerFirstCalls(t *testing.T) {
	const rounds, calls = 8, 24
	for round := range rounds {
		b := newBench(t, func(o *Options) { o.Cells = 2 })
		b.deploy(b.counter(0))
		b.want("/do/", "1")
		old, _ := b.cellOf("do")
		b.deploy(b.version("web", `export default { async fetch(request, env) {
  return new Response(String(await env.C.getByName(new URL(request.url).pathname).next()));
} }`, bound(t, "C", "durable_object_namespace", map[string]string{"class_name": "Counter", "script_name": "do"})))
		if err := b.Start(t.Context(), "web"); err != nil { // it has its first caller, and begins anew
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for n := range calls {
			wg.Go(func() {
				<-b.o.clock.after(quietWait - 60*time.Millisecond + time.Duration(round*calls+n)*time.Millisecond/2)
				b.ask(fmt.Sprintf("/web/%d", n)) // what is under way may fail
			})
		}
		wg.Wait()
		poll.Until(t, "the old process ends", func() bool { return !process(old.PID) })
		for n := range calls {
			if status, body, err := b.ask(fmt.Sprintf("/web/%d", n)); status != 200 || err != nil {
				t.Errorf("round %d, object %d: %d %q %v", round, n, status, body, err)
			}
		}
	}
}

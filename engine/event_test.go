package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/engine/program"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/telemetry"
)

// message is one of a queue's, as engine/shim.js reads it.
type message struct {
	ID          string `json:"id"`
	Timestamp   int64  `json:"timestamp"`
	Attempts    int    `json:"attempts"`
	ContentType string `json:"contentType"`
	Size        int    `json:"size"`
	// Body is JSON, and body what comes after it.
	Body json.RawMessage `json:"body,omitempty"`
	body string
}

// batch makes the event of a queue's messages.
func batch(messages ...message) binding.Event {
	var body strings.Builder
	for i := range messages {
		m := &messages[i]
		m.ID, m.Timestamp, m.Attempts, m.Size = fmt.Sprint("m", i), 1000, 1, len(m.body)
		body.WriteString(m.body)
	}
	return binding.Event{
		Type: "queue",
		Head: map[string]any{"queue": "jobs", "messages": messages,
			"metrics": map[string]any{"backlogCount": 7, "backlogBytes": 70, "oldestMessageTimestamp": 1000}},
		Body: strings.NewReader(body.String()), Size: int64(body.Len()),
	}
}

// acks is the result of a queue event.
type acks struct {
	AckAll       bool     `json:"ackAll"`
	ExplicitAcks []string `json:"explicitAcks"`
	RetryBatch   struct {
		Retry        bool `json:"retry"`
		DelaySeconds int  `json:"delaySeconds"`
	} `json:"retryBatch"`
	RetryMessages []struct {
		ID           string `json:"msgId"`
		DelaySeconds int    `json:"delaySeconds"`
	} `json:"retryMessages"`
}

// noted is a kind whose handler keeps the bodies that it is sent; /wait is not
// answered before release is closed.
type noted struct {
	mu      sync.Mutex
	texts   []string
	waiting int
	gone    int // those whose caller went away while they waited
	release chan struct{}
}

func (*noted) Type() string                  { return "noted" }
func (*noted) Validate(config.Binding) error { return nil }
func (n *noted) Mount(_ config.Binding, at binding.Site) (binding.Mount, error) {
	return binding.Mount{Value: workerd.ServiceValue{Name: at.Service}, Handler: n}, nil
}

func (n *noted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	n.texts = append(n.texts, string(body))
	n.mu.Unlock()
	if r.URL.Path != "/wait" {
		return
	}
	n.mu.Lock()
	n.waiting++
	n.mu.Unlock()
	select {
	case <-n.release:
	case <-r.Context().Done():
		n.mu.Lock()
		n.gone++
		n.mu.Unlock()
	}
}

func (n *noted) last() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.texts) == 0 {
		return ""
	}
	return n.texts[len(n.texts)-1]
}

func (n *noted) count(of *int) func() bool {
	return func() bool { n.mu.Lock(); defer n.mu.Unlock(); return *of > 0 }
}

// newNoted is a bench whose Workers can have the binding NOTE.
func newNoted(t testing.TB, change func(*Options)) (*bench, *noted, config.Binding) {
	n := &noted{release: make(chan struct{})}
	b := newBench(t, func(o *Options) {
		o.Kinds = append(o.Kinds, n)
		if change != nil {
			change(o)
		}
	})
	return b, n, bound(t, "NOTE", "noted", nil)
}

// A batch reaches queue() with every type of content, and what the handler
// decides comes back.
func TestQueueEvent(t *testing.T) {
	b, note, binding := newNoted(t, nil)
	b.deploy(b.version("consumer", `export default { async queue(batch, env, ctx) {
  const say = (x) => ArrayBuffer.isView(x) ? "view " + x : x instanceof ArrayBuffer ? "buffer " + new Uint8Array(x) : x instanceof Map ? "map " + [...x] : JSON.stringify(x);
  const { backlogCount, oldestMessageTimestamp } = batch.metadata.metrics;
  await env.NOTE.fetch("http://note/", { method: "POST", body: [batch.queue, backlogCount, oldestMessageTimestamp.getTime(),
    ...batch.messages.map((m) => [m.id, m.timestamp.getTime(), m.attempts, say(m.body)].join(" "))].join("\n") });
  switch (batch.messages.length) {
    case 1: batch.retryAll({ delaySeconds: 9 }); break;
    case 2: batch.ackAll(); break;
    case 3: batch.messages[0].ack(); throw new Error("after one");
    case 5:
      batch.messages[0].ack();
      batch.messages[1].retry({ delaySeconds: 30 });
      batch.messages[2].retry();
      ctx.waitUntil((async () => { await scheduler.wait(1); batch.messages[3].ack() })());
  }
} }`, binding))
	// V8's serialization of new Map([["a", 1]]).
	v8 := "\xff\x0f;\"\x01aI\x02:\x02"
	all := []message{
		{ContentType: "text", body: "grüß"}, {ContentType: "json", body: `{"a":[1]}`},
		{ContentType: "bytes", body: "\x00\xff"}, {ContentType: "v8", body: v8}, {ContentType: "text"},
		{Body: json.RawMessage(`null`)}, {Body: json.RawMessage(`"ü"`)}, {ContentType: "text", body: "\ufeffa"},
	}
	send := func(n int) (string, acks) {
		t.Helper()
		out, err := b.Send(t.Context(), "consumer", batch(all[:n]...))
		var a acks
		if err == nil {
			err = json.Unmarshal(out.Result, &a)
		}
		if err != nil {
			t.Fatal(err)
		}
		return out.Outcome, a
	}

	send(len(all))
	if got, want := note.last(), "m5 1000 1 null\nm6 1000 1 \"ü\"\nm7 1000 1 \"\ufeffa\""; !strings.HasSuffix(got, want) {
		t.Errorf("the handler got\n%s\nwant at its end\n%s", got, want)
	}
	outcome, a := send(5)
	if got, want := note.last(), "jobs\n7\n1000\nm0 1000 1 \"grüß\"\nm1 1000 1 {\"a\":[1]}\nm2 1000 1 buffer 0,255\nm3 1000 1 map a,1\nm4 1000 1 \"\""; got != want {
		t.Errorf("the handler got\n%s\nwant\n%s", got, want)
	}
	if outcome != "ok" || !slices.Equal(a.ExplicitAcks, []string{"m0", "m3"}) || a.AckAll || a.RetryBatch.Retry ||
		fmt.Sprint(a.RetryMessages) != "[{m1 30} {m2 0}]" {
		t.Errorf("single messages: %s %+v", outcome, a)
	}
	if outcome, a := send(1); outcome != "ok" || !a.RetryBatch.Retry || a.RetryBatch.DelaySeconds != 9 {
		t.Errorf("retryAll: %s %+v", outcome, a)
	}
	if outcome, a := send(2); outcome != "ok" || !a.AckAll {
		t.Errorf("ackAll: %s %+v", outcome, a)
	}
	if outcome, a := send(3); outcome != "exception" || !slices.Equal(a.ExplicitAcks, []string{"m0"}) {
		t.Errorf("an exception after an acknowledgement: %s %+v", outcome, a)
	}

	wrong := batch(message{ContentType: "json", body: "{"})
	if _, err := b.Send(t.Context(), "consumer", wrong); !isNotBegun(err) {
		t.Errorf("a body that is no JSON: %v", err)
	}
}

// The largest batch of a queue is 100 messages of 128 KB.
func TestQueueEventLarge(t *testing.T) {
	b, note, bind := newNoted(t, nil)
	b.deploy(b.version("consumer", `export default { async queue(batch, env) {
  await env.NOTE.fetch("http://note/", { method: "POST", body: String(batch.messages.reduce((n, m) => n + m.body.length, 0)) });
} }`, bind))
	messages := make([]message, 100)
	for i := range messages {
		messages[i] = message{ContentType: "text", body: strings.Repeat("x", 128_000)}
	}
	out, err := b.Send(t.Context(), "consumer", batch(messages...))
	if err != nil || out.Outcome != "ok" || note.last() != "12800000" {
		t.Errorf("%+v %v, the handler got %s", out, err, note.last())
	}
	if _, err := b.Send(t.Context(), "consumer", binding.Event{Type: "queue", Body: zeros{}, Size: binding.MaxEventBody + 1}); !isNotBegun(err) {
		t.Errorf("too large: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// 250 batches are in one Worker's hands at once, Cloudflare's limit of
// concurrent consumers.
//
// Source: https://developers.cloudflare.com/queues/platform/limits/
func TestEventsAtOnce(t *testing.T) {
	const batches = 250
	b, note, bind := newNoted(t, nil)
	b.deploy(b.version("consumer", `export default { async queue(batch, env) { await env.NOTE.fetch("http://note/wait"); } }`, bind))
	errs := make(chan error, batches)
	for range batches {
		go func() {
			out, err := b.Send(t.Context(), "consumer", batch(message{ContentType: "text", body: "x"}))
			if err == nil && out.Outcome != "ok" {
				err = errors.New(out.Outcome)
			}
			errs <- err
		}()
	}
	poll.Until(t, "all handlers run at once", func() bool { note.mu.Lock(); defer note.mu.Unlock(); return note.waiting == batches })
	close(note.release)
	for range batches {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestTailEvent(t *testing.T) {
	b, note, bind := newNoted(t, nil)
	b.deploy(b.version("tail", `export default { async tail(events, env) {
  await env.NOTE.fetch("http://note/", { method: "POST", body: events.map((e) => e.scriptName + " " + e.outcome).join() });
} }`, bind))
	out, err := b.Send(t.Context(), "tail", program.TailEvent([]telemetry.Invocation{{ScriptName: "a", Outcome: "ok"}, {ScriptName: "b", Outcome: "exception"}}))
	if err != nil || out.Outcome != "ok" || note.last() != "a ok,b exception" {
		t.Errorf("%+v %v, the handler got %q", out, err, note.last())
	}
}

// letter makes the event of an e-mail.
func letter(raw io.Reader, size int) binding.Event {
	return binding.Event{
		Type: "email", Body: raw, Size: int64(size),
		Head: map[string]any{"from": "a@example.com", "to": "b@example.com", "headers": [][2]string{{"Subject", "Hi"}, {"X-Two", "1"}, {"X-Two", "2"}}},
	}
}

// An e-mail reaches email() as a stream, and what is to become of it comes back.
func TestEmailEvent(t *testing.T) {
	b, note, bind := newNoted(t, nil)
	b.deploy(b.version("mail", `export default { async email(message, env, ctx) {
  const keys = Object.keys(message).sort().join();
  switch (message.headers.get("subject")) {
    case "Throw": throw new Error("no");
    case "Ignore": return;
  }
  const raw = await new Response(message.raw).text();
  await env.NOTE.fetch("http://note/", { method: "POST", body: [message.from, message.to, message.rawSize, message.headers.get("x-two"), raw.length, raw.slice(0, 4), keys].join(" ") });
  await message.forward("c@example.com", new Headers({ "X-Way": "there" }));
  await message.reply({ from: message.to, to: message.from, "EmailMessage::raw": new Uint8Array([0, 255]) });
  await message.reply({ from: message.to, to: message.from, "EmailMessage::raw": "text" });
  message.setReject("go away");
} }`, bind))
	raw := strings.Repeat("mail", 25<<20/4)
	out, err := b.Send(t.Context(), "mail", letter(strings.NewReader(raw), len(raw)))
	if err != nil || out.Outcome != "ok" {
		t.Fatalf("%+v %v", out, err)
	}
	if want := fmt.Sprint("a@example.com b@example.com ", len(raw), " 1, 2 ", len(raw), " mail canBeForwarded,forward,from,headers,raw,rawSize,reply,setReject,to"); note.last() != want {
		t.Errorf("the handler got %q, want %q", note.last(), want)
	}
	want := `{"forwards":[{"to":"c@example.com","headers":[["x-way","there"]]}],"replies":[{"from":"b@example.com","to":"a@example.com","size":2},{"from":"b@example.com","to":"a@example.com","size":4}],"reject":"go away"}`
	if string(out.Result) != want || !bytes.Equal(out.Body, []byte("\x00\xfftext")) {
		t.Errorf("result %s, body %q", out.Result, out.Body)
	}

	// What the handler does not read is in nobody's way.
	for subject, want := range map[string]string{"Throw": "exception", "Ignore": "ok"} {
		e := letter(strings.NewReader(raw), len(raw))
		e.Head = map[string]any{"from": "a@example.com", "to": "b@example.com", "headers": [][2]string{{"Subject", subject}}}
		if out, err := b.Send(t.Context(), "mail", e); err != nil || out.Outcome != want || out.NoRetry {
			t.Errorf("%s: %+v %v", subject, out, err)
		}
	}
}

// A handler that is not there is not called again, in either language.
func TestEventWithoutHandler(t *testing.T) {
	w := program.New("go")
	w.Open(http.NotFoundHandler())
	b := newBench(t, func(o *Options) { o.Programs = []*program.Worker{w} })
	b.deploy(b.version("js", hello))
	b.deploy(b.programVersion("go"))
	for name, e := range map[string]func() binding.Event{
		"scheduled": func() binding.Event { return cron.Trigger{Time: time.Unix(60, 0)}.Event() },
		"tail":      func() binding.Event { return program.TailEvent([]telemetry.Invocation{{}}) },
		"email": func() binding.Event {
			e := letter(strings.NewReader("x"), 1)
			e.Call = func(context.Context, http.Handler) error { return binding.ErrNoHandler }
			return e
		},
	} {
		for _, worker := range []string{"js", "go"} {
			if out, err := b.Send(t.Context(), worker, e()); err != nil || out.Outcome != "exception" || !out.NoRetry {
				t.Errorf("%s to %s: %+v %v", name, worker, out, err)
			}
		}
	}
	if out, err := b.Send(t.Context(), "js", batch(message{ContentType: "text"})); err != nil || out.Outcome != "exception" {
		t.Errorf("queue: %+v %v", out, err)
	}
}

// An error says whether the handler may have run, and so does the metric.
func TestEventErrors(t *testing.T) {
	var mu sync.Mutex
	told := map[string]int{} // by outcome
	b, note, bind := newNoted(t, func(o *Options) {
		o.Events = func(e telemetry.Event) {
			mu.Lock()
			defer mu.Unlock()
			told[e.Outcome]++
			if e.Worker == "" || e.Type == "" || e.Duration <= 0 {
				t.Errorf("told of %+v", e)
			}
		}
	})
	wait := `export default { async scheduled(c, env) { await env.NOTE.fetch("http://note/wait"); } }`
	b.deploy(b.version("fine", wait, bind))
	b.deploy(b.version("broken", `throw new Error("top level")`))
	assets := b.version("assets", "")
	assets.MainModule, assets.Code, assets.Assets = "", nil, &config.Assets{}
	b.deploy(assets)
	tick := cron.Trigger{Cron: "* * * * *", Time: time.Unix(60, 0)}
	send := func(ctx context.Context, worker string) error {
		_, err := b.Send(ctx, worker, tick.Event())
		return err
	}
	for worker, want := range map[string]*fault.Fault{"nobody": fault.NotConfigured, "assets": fault.NotConfigured, "broken": fault.StartFailed} {
		if err := send(t.Context(), worker); !isNotBegun(err) || !errors.Is(err, want) {
			t.Errorf("%s: %v", worker, err)
		}
	}
	if _, err := b.Send(t.Context(), "fine", binding.Event{Type: "nonsense"}); !isNotBegun(err) {
		t.Errorf("an event that the shim does not know: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := send(gone, "fine"); !isNotBegun(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before it began: %v", err)
	}

	// Once the handler runs, nothing is certain.
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- send(ctx, "fine") }()
	poll.Until(t, "the handler runs", note.count(&note.waiting))
	cancel()
	if err := <-done; err == nil || isNotBegun(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled while it ran: %v", err)
	}
	poll.Until(t, "the handler is ended", note.count(&note.gone))

	e := tick.Event()
	e.Limit = time.Millisecond
	if out, err := b.Send(t.Context(), "fine", e); err != nil || out.Outcome != "exceededWallTime" {
		t.Errorf("beyond its time: %+v %v", out, err)
	}

	note.mu.Lock()
	note.waiting = 0
	note.mu.Unlock()
	go func() { done <- send(t.Context(), "fine") }()
	poll.Until(t, "the handler runs", note.count(&note.waiting))
	c, _ := b.cellOf("fine")
	syscall.Kill(c.PID, syscall.SIGKILL)
	if err := <-done; err == nil || isNotBegun(err) || !errors.Is(err, fault.Unavailable) {
		t.Errorf("the cell died while it ran: %v", err)
	}

	closing, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := b.Close(closing); err != nil {
		t.Error(err)
	}
	if err := send(t.Context(), "fine"); !isNotBegun(err) || !errors.Is(err, fault.Unavailable) {
		t.Errorf("after Close: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := map[string]int{"unreached": 6, "lost": 2, "exceededWallTime": 1}; !maps.Equal(told, want) {
		t.Errorf("outcomes %v, want %v", told, want)
	}
}

// A cell whose process has ended refuses connections.
func TestEventToDeadCell(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("job", `export default { scheduled() {} }`))
	c, err := b.eventCell(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	defer c.release()
	c.proc.Kill()
	<-c.proc.Done()
	e := cron.Trigger{Time: time.Unix(60, 0)}.Event()
	e.Limit = binding.EventLimit
	if _, err := c.deliver(t.Context(), e, []byte(`{"cron":"","scheduledTime":0}`)); !isNotBegun(err) || !errors.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
}

// The id of an event is in its tail event, its console lines and its
// subrequests, and the handler does not see it.
func TestEventID(t *testing.T) {
	const id = "0123456789abcdef"
	for _, date := range []string{"2021-11-02", "2026-01-01"} {
		t.Run(date, func(t *testing.T) {
			rays := make(chan string, 10)
			b := newBench(t, func(o *Options) {
				o.Observe = true
				o.Egress = func(*config.Version) http.Handler {
					return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { rays <- rayOf(r.Header) })
				}
			})
			v := b.version("job", `
const note = async (text) => { console.log(text); await fetch("http://example.com/") };
export default {
  scheduled: (c) => note("cron " + c.cron),
  queue: (b) => note("queue " + b.queue),
  tail: (events) => note("tail " + events.length),
  email: (m) => note("email " + Object.keys(m).length),
}`)
			v.CompatibilityDate = date
			b.deploy(v)
			for line, e := range map[string]binding.Event{
				"cron 1 2 3 4 5": cron.Trigger{Cron: "1 2 3 4 5", Time: time.Unix(60, 0)}.Event(),
				"queue jobs":     batch(message{ContentType: "text"}),
				"tail 1":         program.TailEvent([]telemetry.Invocation{{}}),
				"email 9":        letter(strings.NewReader("x"), 1),
			} {
				e.ID = id
				if out, err := b.Send(t.Context(), "job", e); err != nil || out.Outcome != "ok" {
					t.Errorf("%s: %+v %v", line, out, err)
				}
				if got := <-rays; got != id {
					t.Errorf("%s: the subrequest carries %q", line, got)
				}
				poll.Until(t, "the line "+line, func() bool {
					b.mu.Lock()
					defer b.mu.Unlock()
					return slices.ContainsFunc(b.lines, func(l telemetry.Line) bool { return l.Message == line && l.Ray == id })
				})
				poll.Until(t, "the tail event of "+line, func() bool {
					b.mu.Lock()
					defer b.mu.Unlock()
					return slices.ContainsFunc(b.invocations, func(i telemetry.Invocation) bool {
						return i.Ray == id && len(i.Logs) == 1 && string(i.Logs[0].Message) == fmt.Sprintf("[%q]", line)
					})
				})
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, i := range b.invocations {
				if strings.ContainsRune(string(i.Event), '\x1e') || strings.Contains(string(i.Event), `\u001e`) {
					t.Errorf("the tail event shows our tag: %s", i.Event)
				}
			}
		})
	}
}

func isNotBegun(err error) bool { return errors.Is(err, binding.ErrNotBegun) }

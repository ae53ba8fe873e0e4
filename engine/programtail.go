package engine

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/telemetry"
)

// maxTailQueue bounds the events that wait for a Program's Tail; more are lost.
const maxTailQueue = 4096

// maxTailBatch is how many events one call of Tail gets at most.
const maxTailBatch = 100

// maxLogBytes bounds the console lines of one invocation in its tail event.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/#log-size
const maxLogBytes = 256 << 10

// tailQueue brings invocations to a Tailer, off the way of the requests.
type tailQueue struct {
	p      *hosted
	t      Tailer
	of     map[string]bool
	all    bool // "*": every Worker but itself
	events chan telemetry.Invocation
	end    chan struct{}
	done   chan struct{}
}

func newTailQueue(p *hosted, t Tailer) *tailQueue {
	q := &tailQueue{
		p: p, t: t, of: map[string]bool{}, events: make(chan telemetry.Invocation, maxTailQueue),
		end: make(chan struct{}), done: make(chan struct{}),
	}
	for _, name := range t.TailOf() {
		q.of[name] = true
		q.all = q.all || name == "*"
	}
	go q.loop()
	return q
}

// tellTails gives an invocation to the Programs that listen to its Worker. A
// Tail's own invocation is told to none, so that two cannot keep each other busy.
func (e *Engine) tellTails(i telemetry.Invocation) {
	if string(i.Event) == tailEvent {
		return
	}
	for _, p := range e.programs {
		q := p.tails
		if q == nil || !q.of[i.ScriptName] && !(q.all && i.ScriptName != p.name) {
			continue
		}
		select {
		case q.events <- i:
		default:
			e.o.Logger.Warn("tail event lost: the Worker's Tail is too slow", "worker", p.name)
		}
	}
}

// tailEvent is the event of an invocation of Tail.
const tailEvent = `{"consumedEvents":[]}`

func (q *tailQueue) loop() {
	defer close(q.done)
	for {
		var batch []telemetry.Invocation
		select {
		case i := <-q.events:
			batch = append(batch, i)
		case <-q.end:
			select {
			case i := <-q.events:
				batch = append(batch, i)
			default:
				return
			}
		}
		for len(batch) < maxTailBatch && len(q.events) > 0 {
			batch = append(batch, <-q.events)
		}
		q.deliver(batch)
	}
}

func (q *tailQueue) deliver(batch []telemetry.Invocation) {
	_, v, err := q.p.deployed()
	if err != nil {
		return // it is not deployed, or no more
	}
	run, err := q.p.begin(context.Background(), v, nil)
	if err != nil {
		return
	}
	if err := protect(func() error { return q.t.Tail(run.ctx, batch) }); err != nil {
		run.threw(err)
	}
	run.answered(json.RawMessage(tailEvent), nil)
}

// close delivers what waits and ends the queue.
func (q *tailQueue) close() {
	close(q.end)
	<-q.done
}

// isObserved: somebody wants the tail events of the Worker.
func (e *Engine) isObserved(name string) bool {
	if e.o.Observe {
		return true
	}
	e.mu.Lock()
	w := e.workers[name]
	e.mu.Unlock()
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.observers > 0
}

// threw notes an exception and logs it.
func (r *run) threw(err error) {
	x := telemetry.Exception{Timestamp: time.Now().UnixMilli(), Name: "Error", Message: err.Error()}
	var p *panicError
	if errors.As(err, &p) {
		x.Name, x.Message, _ = strings.Cut(p.Error(), "\n")
		x.Name, x.Message, x.Stack = "panic", strings.TrimPrefix(x.Name, "panic: "), p.stack
	}
	r.mu.Lock()
	r.exceptions = append(r.exceptions, x)
	r.mu.Unlock()
}

func (r *run) outcome() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.exceptions) > 0:
		return "exception"
	case r.aborted:
		return "canceled"
	}
	return "ok"
}

// report tells of the run as a tail event.
func (r *run) report() {
	event, _ := json.Marshal(r.event)
	if r.response != nil {
		if fields, ok := r.event.(map[string]any); ok {
			fields["response"] = r.response
			event, _ = json.Marshal(fields)
		}
	}
	outcome := r.outcome()
	r.mu.Lock()
	i := telemetry.Invocation{
		ScriptName:    r.Worker,
		ScriptVersion: &telemetry.ScriptVersion{ID: r.Version.ID, Tag: r.Version.Tag, Message: r.Version.Message},
		Outcome:       outcome, Event: event, EventTimestamp: r.start.UnixMilli(),
		Logs: slices.Clone(r.logs), Exceptions: slices.Clone(r.exceptions), ExecutionModel: "stateless",
		Truncated: r.logBytes > maxLogBytes, WallTime: float64(time.Since(r.start).Microseconds()) / 1000,
	}
	r.mu.Unlock()
	if i.Logs == nil {
		i.Logs = []telemetry.Log{}
	}
	if i.Exceptions == nil {
		i.Exceptions = []telemetry.Exception{}
	}
	r.p.e.o.Invocations(i)
}

// fetchEvent is the event of a request in tail events. Headers that carry
// credentials are hidden, as Cloudflare does.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/handlers/tail/
func fetchEvent(r *http.Request) any {
	headers := map[string]string{}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		headers[name] = strings.Join(values, ", ")
		for _, word := range []string{"auth", "key", "secret", "token", "jwt", "cookie"} {
			if strings.Contains(name, word) {
				headers[name] = "REDACTED"
			}
		}
	}
	scheme, cf := "http", json.RawMessage(nil)
	if record := telemetry.RequestFrom(r.Context()); record != nil {
		scheme, cf = record.Scheme, record.CF
	}
	request := map[string]any{"url": scheme + "://" + r.Host + r.URL.RequestURI(), "method": r.Method, "headers": headers}
	if len(cf) > 0 {
		request["cf"] = cf
	}
	return map[string]any{"request": request}
}

// logHandler makes lines of a Worker's log of slog's records.
type logHandler struct {
	run *run
	// attrs are written before a record's own; group prefixes their names.
	attrs, group string
}

// Enabled implements slog.Handler: every level is a console method.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, record slog.Record) error {
	var b strings.Builder
	b.WriteString(record.Message)
	b.WriteString(h.attrs)
	record.Attrs(func(a slog.Attr) bool { writeAttr(&b, h.group, a); return true })
	level := "debug"
	switch {
	case record.Level >= slog.LevelError:
		level = "error"
	case record.Level >= slog.LevelWarn:
		level = "warn"
	case record.Level >= slog.LevelInfo:
		level = "info"
	}
	r := h.run
	if r.observed {
		message, _ := json.Marshal([]string{b.String()})
		r.mu.Lock()
		if r.logBytes += len(message); r.logBytes <= maxLogBytes {
			r.logs = append(r.logs, telemetry.Log{Timestamp: record.Time.UnixMilli(), Level: level, Message: message})
		}
		r.mu.Unlock()
	}
	r.p.e.o.Lines(telemetry.Line{Time: record.Time, Worker: r.Worker, Version: r.Version.ID, Level: level, Message: b.String()})
	return nil
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		writeAttr(&b, h.group, a)
	}
	return &logHandler{run: h.run, attrs: b.String(), group: h.group}
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{run: h.run, attrs: h.attrs, group: h.group + name + "."}
}

// writeAttr writes " name=value".
func writeAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range v.Group() {
			writeAttr(b, group, inner)
		}
		return
	}
	if a.Key == "" {
		return
	}
	text := v.String()
	if strings.ContainsAny(text, " \"=\n") || text == "" {
		quoted, _ := json.Marshal(text)
		text = string(quoted)
	}
	b.WriteString(" " + group + a.Key + "=" + text)
}

package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/telemetry"
)

// Program is a Worker that this process itself implements: its handler is
// called directly, without a cell. It handles further events by implementing
// [Scheduler] and [Tailer]. What it does for a request or event is an
// [Invocation], which [InvocationFrom] finds in the context.
//
// A panic is an exception of the Worker (error 1101), never the end of the
// process.
type Program interface{ http.Handler }

// Scheduler is a Program that handles cron triggers.
type Scheduler interface {
	Scheduled(ctx context.Context, e ScheduledEvent) error
}

// ScheduledEvent is a cron trigger that fires.
type ScheduledEvent struct {
	// Cron is the expression as it was configured.
	Cron string
	// Time is the minute that it fires for.
	Time time.Time
}

// Tailer is a Program that is told what other Workers did.
type Tailer interface {
	// TailOf names the Workers whose invocations it is told.
	TailOf() []string
	Tail(ctx context.Context, events []telemetry.Invocation) error
}

// Invocation is one run of a Program's handler.
type Invocation struct {
	// Worker and Version say what runs.
	Worker  string
	Version *config.Version
	// Props is the JSON that a service binding carries; nil without.
	Props json.RawMessage
	run   *run
}

type invocationKey struct{}

// InvocationFrom returns the invocation that ctx belongs to, or nil.
func InvocationFrom(ctx context.Context) *Invocation {
	i, _ := ctx.Value(invocationKey{}).(*Invocation)
	return i
}

// Logger returns the Worker's log: the lines that console.* gives for a Worker
// in JavaScript.
func (i *Invocation) Logger() *slog.Logger { return slog.New(&logHandler{run: i.run}) }

// WaitUntil runs f on a goroutine of its own. f outlives the response; the
// engine's Close waits for it. Its context is the invocation's without the
// client's cancellation, and ends when Close has waited long enough. A panic or
// an error of f is logged and makes the invocation's outcome "exception".
func (i *Invocation) WaitUntil(f func(ctx context.Context) error) {
	r := i.run
	r.retain()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	stop := context.AfterFunc(r.p.stopped, cancel)
	go func() {
		defer r.release()
		defer cancel()
		defer stop()
		if err := protect(func() error { return f(ctx) }); err != nil {
			r.threw(err)
		}
	}()
}

// ProgramInfo describes a Program and what it is doing.
type ProgramInfo struct {
	Worker, Version string
	// InFlight is the number of requests and events whose handler runs, Waiting
	// that of those which have answered and of which WaitUntil functions run.
	InFlight, Waiting int
	// Oldest is for how long the oldest of both has been running: a handler
	// that is stuck, or leaks.
	Oldest time.Duration
	// Total counts requests and events since the start, Exceptions those that
	// panicked or failed, and Busy is the time their handlers took together.
	Total, Exceptions int64
	Busy              time.Duration
}

// Programs lists the Programs, by Worker.
func (e *Engine) Programs() []ProgramInfo {
	infos := make([]ProgramInfo, 0, len(e.programs))
	for _, p := range e.programs {
		infos = append(infos, p.info())
	}
	slices.SortFunc(infos, func(a, b ProgramInfo) int { return strings.Compare(a.Worker, b.Worker) })
	return infos
}

// maxProgramDepth is how many Programs may be called within one request, one by
// the other.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/#subrequests
const maxProgramDepth = 32

// hosted is a Program in an engine.
type hosted struct {
	e       *Engine
	name    string
	p       Program
	tails   *tailQueue      // nil: not a Tailer
	stopped context.Context // ends when Close waits no more
	stop    context.CancelFunc

	mu         sync.Mutex
	closed     bool
	running    map[*run]struct{}
	idle       []chan struct{} // closed when nothing runs
	waiting    int
	total      int64
	exceptions int64
	busy       time.Duration
}

// run is one invocation while it runs.
type run struct {
	Invocation
	p        *hosted
	ctx      context.Context
	start    time.Time
	depth    int
	observed bool
	left     atomic.Int32  // the handler and the WaitUntil functions
	ended    chan struct{} // closed when none is left; nil unless somebody waits

	// event and response are for the report; set before the handler's release.
	event, response any
	aborted         bool
	writer          programWriter

	mu         sync.Mutex
	exceptions []telemetry.Exception
	logs       []telemetry.Log
	logBytes   int
}

func (e *Engine) addPrograms(list map[string]Program) {
	e.programs = map[string]*hosted{}
	report := e.o.Invocations
	e.o.Invocations = func(i telemetry.Invocation) {
		report(i)
		e.tellTails(i)
	}
	for name, p := range list {
		x := &hosted{e: e, name: name, p: p, running: map[*run]struct{}{}}
		x.stopped, x.stop = context.WithCancel(context.Background())
		e.programs[name] = x
		if t, ok := p.(Tailer); ok && len(t.TailOf()) > 0 {
			x.tails = newTailQueue(x, t)
			e.o.Observe = e.o.Observe || x.tails.all
		}
	}
}

// observeTails attaches tail Workers to the Workers that Programs listen to.
func (e *Engine) observeTails() {
	for _, p := range e.programs {
		if p.tails != nil && !p.tails.all {
			for name := range p.tails.of {
				e.Observe(name)
			}
		}
	}
}

// begin makes a run. The caller releases it.
func (p *hosted) begin(ctx context.Context, v *config.Version, props json.RawMessage) (*run, error) {
	r := &run{
		Invocation: Invocation{Worker: p.name, Version: v, Props: props},
		p:          p, start: time.Now(), observed: p.e.isObserved(p.name),
	}
	if parent := InvocationFrom(ctx); parent != nil {
		if r.depth = parent.run.depth + 1; r.depth > maxProgramDepth {
			return nil, fault.LoopLimit.With("This request has passed through too many Workers.", nil)
		}
	}
	r.run = r
	r.ctx = context.WithValue(ctx, invocationKey{}, &r.Invocation)
	r.left.Store(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fault.Unavailable.With("The server is shutting down.", nil)
	}
	p.running[r] = struct{}{}
	return r, nil
}

func (r *run) retain() {
	if r.left.Add(1) == 1 {
		panic("selvage: WaitUntil was called after its invocation had ended")
	}
}

// answered notes that the handler is done.
func (r *run) answered(event, response any) {
	took := time.Since(r.start)
	r.event, r.response = event, response
	r.p.mu.Lock()
	r.p.total++
	r.p.busy += took
	r.p.waiting++
	r.p.mu.Unlock()
	r.release()
}

// release ends the handler or a WaitUntil function.
func (r *run) release() {
	if r.left.Add(-1) > 0 {
		return
	}
	r.mu.Lock()
	failed := len(r.exceptions) > 0
	r.mu.Unlock()
	if r.observed || failed {
		r.report()
	}
	p := r.p
	p.mu.Lock()
	delete(p.running, r)
	p.waiting--
	if failed {
		p.exceptions++
	}
	if len(p.running) == 0 {
		for _, ch := range p.idle {
			close(ch)
		}
		p.idle = nil
	}
	p.mu.Unlock()
	if r.ended != nil {
		close(r.ended)
	}
}

// wait waits until nothing runs, or ctx ends.
func (p *hosted) wait(ctx context.Context) error {
	p.mu.Lock()
	if len(p.running) == 0 {
		p.mu.Unlock()
		return nil
	}
	ch := make(chan struct{})
	p.idle = append(p.idle, ch)
	p.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("worker %s: handlers were left running: %w", p.name, context.Cause(ctx))
	}
}

// waitPrograms waits for what the Programs are doing, WaitUntil included.
func (e *Engine) waitPrograms(ctx context.Context) error {
	var errs []error
	for _, p := range e.programs {
		errs = append(errs, p.wait(ctx))
	}
	return errors.Join(errs...)
}

// closePrograms refuses further work, waits for what still runs until ctx ends,
// and then ends the contexts of WaitUntil functions.
func (e *Engine) closePrograms(ctx context.Context) error {
	for _, p := range e.programs {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
	}
	err := e.waitPrograms(ctx)
	for _, p := range e.programs {
		p.stop()
		if p.tails != nil {
			p.tails.close()
		}
	}
	return err
}

func (p *hosted) info() ProgramInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := ProgramInfo{
		Worker: p.name, InFlight: len(p.running) - p.waiting, Waiting: p.waiting,
		Total: p.total, Exceptions: p.exceptions, Busy: p.busy,
	}
	for r := range p.running {
		i.Version = r.Version.ID
		i.Oldest = max(i.Oldest, time.Since(r.start))
	}
	return i
}

// serve answers a request by the Program.
func (p *hosted) serve(w http.ResponseWriter, r *http.Request, v *config.Version, props json.RawMessage) (err error) {
	run, err := p.begin(r.Context(), v, props)
	if err != nil {
		return err
	}
	r = r.WithContext(run.ctx)
	var event any
	if run.observed {
		event = fetchEvent(r) // before the handler can change r
	}
	x := &run.writer
	x.ResponseWriter = w
	defer func() {
		// The report of a failed run needs the event, too.
		if event == nil && err != nil {
			event = fetchEvent(r)
		}
		var response any
		if x.status != 0 {
			response = map[string]int{"status": x.status}
		}
		run.answered(event, response)
	}()
	err = protect(func() error { p.p.ServeHTTP(x, r); return nil })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, http.ErrAbortHandler):
		run.aborted = true
		panic(http.ErrAbortHandler)
	}
	run.threw(err)
	if x.status != 0 {
		p.e.o.Logger.Error("Worker panicked after it had begun to answer", "worker", p.name, "err", err)
		panic(http.ErrAbortHandler)
	}
	return fault.ThrewException.With("", err)
}

// scheduled runs the Program for a cron trigger.
func (p *hosted) scheduled(ctx context.Context, v *config.Version, e ScheduledEvent) (Outcome, error) {
	s, ok := p.p.(Scheduler)
	if !ok {
		p.e.o.Logger.Warn("cron trigger fired for a Worker that has no Scheduled method", "worker", p.name, "cron", e.Cron)
		return Outcome{Outcome: "exception", NoRetry: true}, nil
	}
	run, err := p.begin(ctx, v, nil)
	if err != nil {
		return Outcome{}, err
	}
	run.ended = make(chan struct{})
	if err := protect(func() error { return s.Scheduled(run.ctx, e) }); err != nil {
		run.threw(err)
	}
	run.answered(map[string]any{"cron": e.Cron, "scheduledTime": e.Time.UnixMilli()}, nil)
	select {
	case <-run.ended:
	case <-ctx.Done():
		return Outcome{}, context.Cause(ctx)
	}
	return Outcome{Outcome: run.outcome()}, nil
}

// protect calls f and makes an error of its panic.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				err = http.ErrAbortHandler
				return
			}
			err = &panicError{value: p, stack: string(debug.Stack())}
		}
	}()
	return f()
}

// panicError is a recovered panic.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// programWriter notes whether an answer has begun.
type programWriter struct {
	http.ResponseWriter
	status int
}

// Unwrap is for http.ResponseController.
func (w *programWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *programWriter) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *programWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (w *programWriter) Flush() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker.
func (w *programWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}

// mountProgram leads a service binding of a cell to a Program. It has one
// entrypoint and speaks fetch only.
func (e *Engine) mountProgram(p *plan, name string, m binding.Mount) workerd.Value {
	peer := *m.Peer
	if peer.Entrypoint != "" {
		p.service(thrower(name))
		return redirect(m.Value, name, workerd.ServiceDesignator{Name: name, Props: absentProps(peer.Worker, peer.Entrypoint)})
	}
	p.serve(e, name, e.peerHandler(peer))
	const module = "selvage:program"
	if !slices.ContainsFunc(p.config.Extensions, func(x workerd.ExtensionModule) bool { return x.Name == module }) {
		p.config.Extensions = append(p.config.Extensions, workerd.ExtensionModule{Name: module, Internal: true, Source: programModule})
	}
	return workerd.WrappedValue{Module: module, Inner: []workerd.Binding{
		{Name: "service", Value: m.Value},
		{Name: "message", Value: workerd.TextValue(fmt.Sprintf("Worker %q is written in Go and can be called by fetch() only.", peer.Worker))},
	}}
}

// programModule is env's view of a Program: a service without RPC. Left to
// itself workerd would say that the network connection was lost.
const programModule = `export default function ({ service, message }) {
  return new Proxy(service, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name === "fetch") return value.bind(target);
      if (typeof name === "symbol" || name === "then" || name === "toJSON" || name in Object.prototype) return value;
      return async () => { throw new Error(name + "(): " + message) };
    },
  });
}
`

// peerHandler answers the calls of other cells for a Program. A fault is
// answered as the edge would, in a line of text.
func (e *Engine) peerHandler(peer binding.Peer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		record := recordOf(r)
		r = r.WithContext(telemetry.WithRequest(r.Context(), record))
		err := e.Call(w, r, peer)
		if err == nil {
			return
		}
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler)
		}
		f := fault.From(err)
		e.o.Logger.Error("call of a service binding failed", "worker", peer.Worker, "ray", record.Ray, "err", err)
		text := f.Title
		if f.Code != 0 {
			text = fmt.Sprintf("error code: %d", f.Code)
		}
		http.Error(w, text, f.Status)
	})
}

// recordOf makes the record of a request that came from a cell, and removes the
// private headers.
func recordOf(r *http.Request) *telemetry.Request {
	record := &telemetry.Request{Scheme: "http", Start: time.Now()}
	if r.Header.Get(hop.ProtoHeader) == "https" {
		record.Scheme = "https"
	}
	if cf := r.Header.Get(hop.CFHeader); json.Valid([]byte(cf)) {
		record.CF = json.RawMessage(cf)
	}
	delete(r.Header, hop.ProtoHeader)
	delete(r.Header, hop.CFHeader)
	// A Worker that passes its request on passes these on, too.
	if record.Ray = rayOf(r.Header); record.Ray == "" {
		record.Ray = telemetry.NewRay()
	}
	record.ClientIP, _ = netip.ParseAddr(r.Header.Get("Cf-Connecting-Ip"))
	return record
}

// Call answers r by a Worker as a service binding does: no preview and no
// version override has a say. It is how Programs call other Workers, and obeys
// Dispatch's rules. Only fetch's default entrypoint can be called.
func (e *Engine) Call(w http.ResponseWriter, r *http.Request, peer binding.Peer) error {
	if peer.Entrypoint != "" {
		return fault.NotConfigured.With(fmt.Sprintf("The entrypoint %q of Worker %q can be called by Workers in JavaScript only.", peer.Entrypoint, peer.Worker), nil)
	}
	p := e.programs[peer.Worker]
	if p == nil {
		return e.Dispatch(w, r, peer.Worker, "")
	}
	wk, v, err := p.deployed()
	if err != nil {
		return err
	}
	if peer.Props != "" {
		return p.serve(w, r, v, json.RawMessage(peer.Props))
	}
	return e.serve(w, r, wk, v)
}

// deployed finds the version of a Program. Unlike lookup it does so while the
// engine closes, for what the last cells still ask.
func (p *hosted) deployed() (*worker, *config.Version, error) {
	p.e.mu.Lock()
	w := p.e.workerLocked(p.name)
	p.e.mu.Unlock()
	v, err := w.choose(nil, "")
	return w, v, err
}

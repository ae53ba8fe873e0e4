package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/fault"
)

// Worker is a Worker in Go. Its handler handles events, too, by the methods that
// the kinds of event look for. It is run by one Host.
type Worker struct {
	o       *Options
	name    string
	tailOf  []string
	handler atomic.Pointer[http.Handler]
	ready   chan struct{}   // closed when there is a handler
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

// New returns a Worker without a handler: until Open gives it one, what calls it
// waits. tailOf names the Workers whose invocations its [Tailer] is told; "*" are
// all but itself.
func New(name string, tailOf ...string) *Worker {
	w := &Worker{name: name, tailOf: tailOf, ready: make(chan struct{}), running: map[*run]struct{}{}}
	w.stopped, w.stop = context.WithCancel(context.Background())
	return w
}

// Open gives the Worker its handler. It is called once.
func (p *Worker) Open(h http.Handler) {
	p.handler.Store(&h)
	close(p.ready)
}

// open waits for the handler.
func (p *Worker) open(ctx context.Context) (http.Handler, error) {
	if h := p.handler.Load(); h != nil {
		return *h, nil
	}
	select {
	case <-p.ready:
		return *p.handler.Load(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-p.stopped.Done():
		return nil, errClosed
	}
}

var errClosed = fault.Unavailable.With("The server is shutting down.", nil)

// wait waits until nothing runs, or ctx ends.
func (p *Worker) wait(ctx context.Context) error {
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

// Info describes a Worker and what it is doing.
type Info struct {
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

func (p *Worker) info() Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := Info{
		Worker: p.name, InFlight: len(p.running) - p.waiting, Waiting: p.waiting,
		Total: p.total, Exceptions: p.exceptions, Busy: p.busy,
	}
	for r := range p.running {
		i.Version = r.Version.ID
		i.Oldest = max(i.Oldest, time.Since(r.start))
	}
	return i
}

// Serve answers a request by version v. An error means that nothing was written
// to w; if the handler fails after it has begun to answer, Serve panics with
// http.ErrAbortHandler, which ends the connection.
func (p *Worker) Serve(w http.ResponseWriter, r *http.Request, v *config.Version, props json.RawMessage) (err error) {
	h, err := p.open(r.Context())
	if err != nil {
		return err
	}
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
	err = protect(func() error { h.ServeHTTP(x, r); return nil })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, http.ErrAbortHandler):
		run.aborted = true
		panic(http.ErrAbortHandler)
	}
	run.threw(err)
	if x.status != 0 {
		p.o.Logger.Error("Worker panicked after it had begun to answer", "worker", p.name, "err", err)
		panic(http.ErrAbortHandler)
	}
	return fault.ThrewException.With("", err)
}

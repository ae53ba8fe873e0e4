package program

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/telemetry"
)

// MaxDepth is how many Workers in Go may be called within one request, one by
// the other.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/#subrequests
const MaxDepth = 32

// run is one invocation while it runs.
type run struct {
	Invocation
	p        *Worker
	ctx      context.Context
	start    time.Time
	depth    int
	observed bool
	left     atomic.Int32  // the handler and the WaitUntil functions
	ended    chan struct{} // closed when none is left; nil unless somebody waits

	// event and response are for the report; set before the handler's release.
	event, response any
	aborted         bool
	unhandled       bool // the handler has no method for the event
	writer          answer

	mu         sync.Mutex
	exceptions []telemetry.Exception
	logs       []telemetry.Log
	logBytes   int
}

// begin makes a run. The caller releases it.
func (p *Worker) begin(ctx context.Context, v *config.Version, props json.RawMessage) (*run, error) {
	r := &run{
		Invocation: Invocation{Worker: p.name, Version: v, Props: props},
		p:          p, start: time.Now(), observed: p.o.Observed(p.name),
	}
	if parent := InvocationFrom(ctx); parent != nil {
		if r.depth = parent.run.depth + 1; r.depth > MaxDepth {
			return nil, fault.LoopLimit.With("This request has passed through too many Workers.", nil)
		}
	}
	r.run = r
	r.ctx = context.WithValue(ctx, invocationKey{}, &r.Invocation)
	r.left.Store(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
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

package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

// errLimit ends the context of an event that took too long.
var errLimit = errors.New("the handler exceeded its wall time")

// Send runs the Worker for an event as [binding.Events] has it: the outcome
// covers WaitUntil functions. A handler that goes on after its context has ended
// is not waited for.
func (p *Worker) Send(ctx context.Context, v *config.Version, ev binding.Event) (out binding.Outcome, err error) {
	if _, err := p.open(ctx); err != nil {
		return out, fmt.Errorf("%w: %w", binding.ErrNotBegun, err)
	}
	if ev.ID == "" {
		ev.ID = telemetry.NewRay()
	}
	if ev.Limit == 0 {
		ev.Limit = binding.EventLimit
	}
	limited, cancel := context.WithTimeoutCause(ctx, ev.Limit, errLimit)
	defer cancel()
	run, err := p.begin(telemetry.WithRequest(limited, &telemetry.Request{Ray: ev.ID, Start: time.Now()}), v, nil)
	if err != nil {
		return out, fmt.Errorf("%w: %w", binding.ErrNotBegun, err)
	}
	run.ended = make(chan struct{})
	go p.handle(run, ev)
	select {
	case <-run.ended:
	case <-limited.Done():
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		return binding.Outcome{Outcome: "exceededWallTime"}, nil
	}
	if ev.Answer != nil {
		if out.Result, err = json.Marshal(ev.Answer()); err != nil {
			return out, fmt.Errorf("worker %s: answer to a %s event: %w", p.name, ev.Type, err)
		}
	}
	out.Outcome, out.NoRetry = run.outcome(), run.unhandled
	return out, nil
}

// handle calls the handler for an event.
func (p *Worker) handle(run *run, ev binding.Event) {
	h := *p.handler.Load()
	err := protect(func() error { return ev.Call(run.ctx, h) })
	if run.unhandled = errors.Is(err, binding.ErrNoHandler); run.unhandled {
		err = fmt.Errorf("a %s event came, but the handler of Worker %q, a %T, has no method for it", ev.Type, p.name, h)
		p.o.Logger.Warn("event for a Worker that does not handle it", "worker", p.name, "type", ev.Type, "err", err)
	}
	if err != nil {
		run.threw(err)
	}
	run.answered(ev.Info, nil)
}

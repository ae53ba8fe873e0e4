package selvage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/selvage-edge/selvage/binding/durable"
	"github.com/selvage-edge/selvage/binding/service"
	"github.com/selvage-edge/selvage/binding/vars"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/engine/program"
	"github.com/selvage-edge/selvage/platform"
	"github.com/selvage-edge/selvage/telemetry"
)

// The types of bindings that have no better home.
type (
	// Service is another Worker, an http.RoundTripper.
	Service = service.Service
	// Durable is a Durable Object class of a Worker in JavaScript.
	Durable = durable.Namespace
	// Secret is a string that does not show itself.
	Secret = vars.Secret
	// ScheduledEvent is a cron trigger that fires.
	ScheduledEvent = program.ScheduledEvent
	// Invocation is a tail event.
	Invocation = telemetry.Invocation
)

// Scheduler is a Worker's handler that handles cron triggers, too. An error or
// a panic is an exception of the Worker.
type Scheduler interface {
	Scheduled(ctx context.Context, e ScheduledEvent) error
}

// Tailer is a Worker's handler that is told what other Workers did; WithTail
// says which. Events come in batches of up to 100, some time after they
// happened; when Tail is slow, events are lost.
type Tailer interface {
	Tail(ctx context.Context, events []Invocation) error
}

// Worker is a Worker in Go. E is a struct; its fields with a binding tag are
// set before start is called, once for each platform, to make the handler:
//
//	`binding:"NAME"`           the binding of that name
//	`binding:"NAME,optional"`  stays zero without one
//
// start must not call other Workers; they may not have started yet.
func Worker[E any](name string, start func(env *E) http.Handler, options ...WorkerOption) Option {
	return func(s *settings) {
		s.workers = append(s.workers, func(context.Context, *built) (platform.Builtin, error) {
			d := &definition{name: name}
			for _, o := range options {
				o(d)
			}
			env := new(E)
			fields, err := fieldsOf(env)
			if err != nil {
				return platform.Builtin{}, fmt.Errorf("worker %s: %w", name, err)
			}
			return d.builtin(fields, func() http.Handler { return start(env) })
		})
	}
}

// builtin makes the Worker. start is called when the fields are set.
func (d *definition) builtin(fields []field, start func() http.Handler) (platform.Builtin, error) {
	for _, text := range d.crons {
		if _, err := cron.Parse(text); err != nil {
			d.problems = append(d.problems, fmt.Errorf("cron %q: %w", text, err))
		}
	}
	bindings, missing := resolve(fields, d.bindings)
	v := &config.Version{
		ID: uuid.NewString(), Number: 1, Worker: d.name, Tag: revision(), Created: time.Now(),
		CompatibilityDate: "2026-11-01", Bindings: bindings, Assets: d.assets,
	}
	p := &handlers{name: d.name, crons: len(d.crons) > 0, tailOf: d.tailOf, ready: make(chan struct{})}
	b := platform.Builtin{
		Worker: &config.Worker{
			Name: d.name, Deployment: v.ID, Subdomain: !d.private, Crons: slices.Clone(d.crons),
			Shares: []config.Share{{Version: v, Percentage: 100}},
		},
		Routes: d.routes, Program: p,
	}
	b.Open = func(host *platform.Platform) error {
		problems := append(slices.Clone(d.problems), missing...)
		problems = append(problems, set(fields, v, host)...)
		if len(problems) > 0 {
			return errors.Join(problems...)
		}
		return p.open(start())
	}
	return b, nil
}

// revision names the build, for people who read versions.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return ""
}

// handlers is the handler of a Worker in Go as the engine sees it. Until it is open, what calls
// it waits.
type handlers struct {
	name    string
	crons   bool
	tailOf  []string
	handler atomic.Pointer[http.Handler]
	ready   chan struct{}
}

var (
	_ program.Scheduler = (*handlers)(nil)
	_ program.Tailer    = (*handlers)(nil)
)

func (p *handlers) open(h http.Handler) error {
	if h == nil {
		return errors.New("its function returned no handler")
	}
	if _, ok := h.(Tailer); !ok && len(p.tailOf) > 0 {
		return fmt.Errorf("WithTail: its handler, a %T, has no method Tail", h)
	}
	if _, ok := h.(Scheduler); !ok && p.crons {
		return fmt.Errorf("WithCron: its handler, a %T, has no method Scheduled", h)
	}
	p.handler.Store(&h)
	close(p.ready)
	return nil
}

// get waits for the handler.
func (p *handlers) get(ctx context.Context) (http.Handler, error) {
	if h := p.handler.Load(); h != nil {
		return *h, nil
	}
	select {
	case <-p.ready:
		return *p.handler.Load(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ServeHTTP implements http.Handler.
func (p *handlers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, err := p.get(r.Context())
	if err != nil {
		panic(http.ErrAbortHandler) // the client has left
	}
	h.ServeHTTP(w, r)
}

// Scheduled implements program.Scheduler.
func (p *handlers) Scheduled(ctx context.Context, e ScheduledEvent) error {
	h, err := p.get(ctx)
	if err != nil {
		return err
	}
	s, ok := h.(Scheduler)
	if !ok {
		return fmt.Errorf("a cron trigger fired, but the handler of Worker %q, a %T, has no method Scheduled", p.name, h)
	}
	return s.Scheduled(ctx, e)
}

// TailOf implements program.Tailer.
func (p *handlers) TailOf() []string { return p.tailOf }

// Tail implements program.Tailer.
func (p *handlers) Tail(ctx context.Context, events []Invocation) error {
	h, err := p.get(ctx)
	if err != nil {
		return err
	}
	return h.(Tailer).Tail(ctx, events)
}

package selvage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/selvage-edge/selvage/binding/durable"
	"github.com/selvage-edge/selvage/binding/queue"
	"github.com/selvage-edge/selvage/binding/service"
	"github.com/selvage-edge/selvage/binding/vars"
	"github.com/selvage-edge/selvage/binding/workflow"
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
	// Scheduler is a Worker's handler that handles cron triggers, too.
	Scheduler = cron.Handler
	// ScheduledEvent is a cron trigger that fires.
	ScheduledEvent = cron.Trigger
	// Consumer is a Worker's handler that receives messages, too.
	Consumer = queue.Handler
	// Batch is what a Consumer receives.
	Batch = queue.Batch
	// Runner is a Worker's handler that runs instances of Workflows, too.
	Runner = workflow.Handler
	// Tailer is a Worker's handler that is told what other Workers did; WithTail
	// says which.
	Tailer = program.Tailer
	// Invocation is a tail event.
	Invocation = telemetry.Invocation
)

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
	p := program.New(d.name, d.tailOf...)
	b := platform.Builtin{
		Worker: &config.Worker{
			Name: d.name, Deployment: v.ID, Subdomain: !d.private, Crons: slices.Clone(d.crons), Triggers: slices.Clone(d.triggers),
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
		h := start()
		if err := d.handles(h); err != nil {
			return err
		}
		p.Open(h)
		return nil
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

// need is a method that an option wants the Worker's handler to have.
type need struct {
	option, method string
	has            func(h http.Handler) bool
}

// handles says whether h has the methods for the events that the Worker gets.
func (d *definition) handles(h http.Handler) error {
	if h == nil {
		return errors.New("its function returned no handler")
	}
	for _, n := range d.needs {
		if !n.has(h) {
			return fmt.Errorf("%s: its handler, a %T, has no method %s", n.option, h, n.method)
		}
	}
	return nil
}

// needs notes that the handler must be an H, which has the method.
func needs[H any](d *definition, option, method string) {
	d.needs = append(d.needs, need{option, method, func(h http.Handler) bool { _, ok := h.(H); return ok }})
}

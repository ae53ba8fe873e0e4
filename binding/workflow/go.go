package workflow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

var (
	_ binding.GoKind = (*Kind)(nil)
	_ binding.Maker  = (*Kind)(nil)
)

// Bind implements binding.GoKind for a *Workflow.
func (k *Kind) Bind(b config.Binding, at binding.Host, to any) error {
	p, ok := to.(**Workflow)
	if !ok {
		return &binding.TypeError{Types: "*workflow.Workflow"}
	}
	s, err := decode(b)
	if err != nil {
		return err
	}
	if *p, err = k.store.Workflow(s.Workflow); errors.Is(err, ErrNoWorkflow) {
		return fmt.Errorf("binding %s (workflow): there is no Workflow named %q; deploy the Worker that has it", b.Name, s.Workflow)
	}
	return err
}

// Make implements binding.Maker: a binding that says which Worker has the class
// makes the Workflow. Others are made by the Worker that has it.
func (k *Kind) Make(_ context.Context, b config.Binding) error {
	s, err := decode(b)
	if err != nil || s.Script == "" {
		return err
	}
	if _, err := k.store.Workflow(s.Workflow); !errors.Is(err, ErrNoWorkflow) {
		return err
	}
	_, err = k.store.Put(s.Workflow, Settings{Script: s.Script, Class: s.Class}, false)
	return err
}

// Trigger has a Worker run the instances of a Workflow; see config.Worker.
func Trigger(name string) (config.Binding, error) {
	if err := checkName(name); err != nil {
		return config.Binding{}, err
	}
	return config.NewBinding(name, (*Kind)(nil).Type(), map[string]string{"class_name": name})
}

// Handler is the handler of a Worker in Go that runs Workflows, too.
//
// Workflow runs an instance from its start, as often as it takes: what it does must
// lead to the same steps each time, and what is to be done once only belongs into a
// step. What it returns is the instance's output, which marshals to JSON; an error
// is the instance's failure. After ErrEnded it returns at once.
type Handler interface {
	Workflow(ctx context.Context, e Event, s *Steps) (output any, err error)
}

// Event is what an instance was created with.
type Event struct {
	// Workflow and Class are the names of the Workflow and of its class, ID is the
	// instance's.
	Workflow, Class, ID string
	// Params are empty if there are none.
	Params  Value
	Created time.Time
	// Schedule created the instance; nil: somebody did.
	Schedule *Schedule
}

// Schedule is one of a Workflow's schedules, and the minute that it stood for.
type Schedule struct {
	Cron string
	Time time.Time
}

// goRun is how a Worker in Go runs an instance.
type goRun struct {
	store *Store
	token string
	event Event
	// undo are the places of the steps that the run is there to undo, if rolling.
	rolling bool
	undo    []uint32

	mu     sync.Mutex
	result runResult
}

// call gives the run to the handler of a Worker in Go.
func (g *goRun) call(ctx context.Context, handler http.Handler) error {
	h, ok := handler.(Handler)
	if !ok {
		return fmt.Errorf("Workflow %s: %w", g.event.Workflow, binding.ErrNoHandler)
	}
	steps := &Steps{store: g.store, token: g.token, rolling: g.rolling, unknown: map[uint32]bool{}}
	for _, place := range g.undo {
		steps.unknown[place] = true
	}
	output, err := h.Workflow(ctx, g.event, steps)
	if g.rolling || err != nil && !errors.Is(err, ErrEnded) && len(steps.undo) > 0 {
		failure := &Failure{"Error", "the steps were undone"}
		if err != nil {
			failure = failureOf(err)
		}
		if err = steps.rollBack(ctx, failure); !errors.Is(err, ErrEnded) {
			err = failure
		}
	}
	result := runResult{Status: "complete"}
	if err == nil {
		result.Output, err = NewValue(output)
	}
	switch {
	case errors.Is(err, ErrEnded):
		result = runResult{Status: "ended"}
	case err != nil:
		result = runResult{Status: "errored", Failure: failureOf(err)}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.result = result
	return nil
}

// answer is what the run has come to.
func (g *goRun) answer() any {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.result
}

package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Steps are those of a run. It is safe for concurrent use. Steps of one name are
// told apart by the order in which they begin, so that those at the same time need
// different names.
type Steps struct {
	store *Store
	token string

	mu   sync.Mutex
	undo map[uint32]*known // by the places of the steps
	// unknown are the places of steps whose rollbacks the run is there for.
	unknown map[uint32]bool
	rolling bool
}

// known is a step with a rollback that has begun.
type known struct {
	options StepOptions
	Rollback
}

// Rollback is what the rollback of a step is told.
type Rollback struct {
	// Name and Count are the step's, Attempt the number of its last attempt.
	Name           string
	Count, Attempt int
	// Why the steps are undone.
	Why *Failure
	// Output is what the step has returned; empty if it has not.
	Output Value
}

// ErrEnded: the run is over, because the instance waits for something far away, was
// paused or has ended. Its function returns; what it returns counts for nothing.
var ErrEnded = errors.New("the run of the Workflow's instance is over")

// StepOptions say how often a step is tried, and for how long. The zero value is
// Cloudflare's default: five retries after 10 s, 20 s, 40 s, …, and ten minutes for
// each attempt.
type StepOptions struct {
	// Retries after the first attempt; negative: none.
	Retries int
	// Delay before the first retry. 0: 10 s.
	Delay time.Duration
	// Backoff is "constant", "linear" or "exponential". Empty: exponential.
	Backoff string
	// Timeout of an attempt, whose context ends then. 0: 10 min.
	Timeout time.Duration
	// Rollback undoes what the step does. When the instance fails, or is ended by
	// Workflow.RollBack, those of its steps run, that of the last step first. It is
	// tried as Undo says; nil: as by default.
	Rollback func(ctx context.Context, r Rollback) error
	Undo     *StepOptions
}

func (o StepOptions) config() json.RawMessage {
	r := map[string]any{"limit": 5, "delay": 10_000}
	switch {
	case o.Retries < 0:
		r["limit"] = 0
	case o.Retries > 0:
		r["limit"] = o.Retries
	}
	if o.Delay != 0 {
		r["delay"] = o.Delay.Milliseconds()
	}
	if o.Backoff != "" {
		r["backoff"] = o.Backoff
	}
	c := map[string]any{"retries": r}
	if o.Timeout != 0 {
		c["timeout"] = o.Timeout.Milliseconds()
	}
	return encode(c)
}

// Final has a step that fails with err not be tried again.
func Final(err error) error { return &finalError{err} }

type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// Do runs a step: f, unless the step is done, and again after a while if that fails.
// It returns what f has returned, whether now or in an earlier run: something that
// marshals to JSON. The error of a step that has failed for good is a *Failure.
func (s *Steps) Do(ctx context.Context, name string, o StepOptions, f func(ctx context.Context) (any, error)) (Value, error) {
	var undo *stepConfig
	if o.Rollback != nil {
		undo = &stepConfig{Config: o.undo().config()}
	}
	a, err := s.step(ctx, func(r *run, ctx context.Context) (answer, error) {
		return r.do(ctx, label{Name: name}, stepConfig{Config: o.config()}, undo)
	})
	begun, done := a.Step, a.Attempt == nil && err == nil
	attempt := 0
	if begun != nil {
		attempt = begun.Context.Attempt
		s.know(begun, o, attempt, nil)
	}
	v, err := s.attempts(ctx, a, err, func(ctx context.Context, c stepContext) (any, error) {
		attempt = c.Attempt
		s.know(begun, o, attempt, nil)
		return f(ctx)
	})
	if done || err == nil {
		s.know(begun, o, attempt, v)
	}
	return v, err
}

func (o StepOptions) undo() StepOptions {
	if o.Undo != nil {
		return *o.Undo
	}
	return StepOptions{}
}

// know notes how a step is undone that has begun.
func (s *Steps) know(begun *startedStep, o StepOptions, attempt int, output Value) {
	if begun == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.undo == nil {
		s.undo = map[uint32]*known{}
	}
	step := begun.Context.Step
	s.undo[begun.Place] = &known{o, Rollback{step.Name, step.Count, attempt, nil, output}}
	delete(s.unknown, begun.Place)
}

// attempts makes the attempts that an answer asks for and returns what the step has
// returned.
func (s *Steps) attempts(ctx context.Context, a answer, err error, f func(ctx context.Context, c stepContext) (any, error)) (Value, error) {
	for err == nil && a.Attempt != nil {
		place, c := a.Attempt.Place, a.Attempt.Context
		v, failure := tryOnce(ctx, a.Attempt, func(ctx context.Context) (any, error) { return f(ctx, c) })
		if ctx.Err() != nil { // it was cut off
			return nil, ErrEnded
		}
		a, err = s.step(ctx, func(r *run, ctx context.Context) (answer, error) {
			if failure != nil {
				return r.failed(ctx, place, failure, nil)
			}
			return r.succeeded(ctx, place, v)
		})
		if err == nil && a.Attempt == nil {
			return v, nil
		}
	}
	return a.value, err
}

// rollBack undoes steps, up to the first that cannot be undone.
func (s *Steps) rollBack(ctx context.Context, failure *Failure) error {
	s.mu.Lock()
	s.unknown = nil
	s.mu.Unlock()
	a, err := s.step(ctx, func(r *run, _ context.Context) (answer, error) { return r.rollBack(failure) })
	for i := 0; err == nil && i < len(a.Undo); i++ {
		s.mu.Lock()
		k := s.undo[a.Undo[i]]
		s.mu.Unlock()
		var o StepOptions
		if k != nil {
			o = k.options.undo()
		}
		var begun answer
		begun, err = s.step(ctx, func(r *run, ctx context.Context) (answer, error) {
			return r.undoStep(ctx, a.Undo[i], stepConfig{Config: o.config()}, k == nil)
		})
		_, err = s.attempts(ctx, begun, err, func(ctx context.Context, _ stepContext) (any, error) {
			told := k.Rollback
			told.Why = a.Why
			return nil, k.options.Rollback(ctx, told)
		})
	}
	return err
}

// tryOnce makes an attempt.
func tryOnce(ctx context.Context, a *attempt, f func(ctx context.Context) (any, error)) (Value, *Failure) {
	late := &Failure{"WorkflowTimeoutError", fmt.Sprintf("Execution timed out after %dms", a.Timeout)}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(a.Timeout)*time.Millisecond, late)
	defer cancel()
	result, err := f(ctx)
	if err == nil {
		v, err := NewValue(result)
		if err != nil {
			return nil, fatal("%v", err)
		}
		return v, nil
	}
	if context.Cause(ctx) == error(late) {
		return nil, late
	}
	return nil, failureOf(err)
}

// failureOf is an error as it is stored.
func failureOf(err error) *Failure {
	if f := (*Failure)(nil); errors.As(err, &f) {
		return f
	}
	if f := (*finalError)(nil); errors.As(err, &f) {
		return &Failure{nonRetryableName, f.Error()}
	}
	return &Failure{"Error", err.Error()}
}

// step calls f as a step of the run.
func (s *Steps) step(ctx context.Context, f func(r *run, ctx context.Context) (answer, error)) (answer, error) {
	s.mu.Lock()
	known := s.rolling && s.unknown != nil && len(s.unknown) == 0
	s.mu.Unlock()
	if known { // the function has done what it runs for
		return answer{}, ErrEnded
	}
	a, err := s.store.step(ctx, s.token, f)
	switch {
	case err != nil:
		return a, err
	case a.Ended:
		return a, ErrEnded
	case a.Failure != nil:
		return a, a.Failure
	}
	return a, nil
}

// Sleep lets a time pass. The process need not run meanwhile.
func (s *Steps) Sleep(ctx context.Context, name string, d time.Duration) error {
	_, err := s.step(ctx, func(r *run, ctx context.Context) (answer, error) {
		return r.sleep(ctx, label{Name: name}, encode(d.Milliseconds()), nil)
	})
	return err
}

// SleepUntil waits for a moment.
func (s *Steps) SleepUntil(ctx context.Context, name string, t time.Time) error {
	ms := t.UnixMilli()
	_, err := s.step(ctx, func(r *run, ctx context.Context) (answer, error) { return r.sleep(ctx, label{Name: name}, nil, &ms) })
	return err
}

// Received is an event that an instance has got.
type Received struct {
	Type    string
	Payload Value
	Sent    time.Time
}

// WaitForEvent waits for an event of a type, and no longer than timeout; 0: a day.
// An event that comes too late is a *Failure of the name WorkflowTimeoutError.
func (s *Steps) WaitForEvent(ctx context.Context, name, typ string, timeout time.Duration) (Received, error) {
	var raw json.RawMessage
	if timeout != 0 {
		raw = encode(timeout.Milliseconds())
	}
	a, err := s.step(ctx, func(r *run, ctx context.Context) (answer, error) {
		return r.waitForEvent(ctx, label{Name: name}, typ, raw)
	})
	if err != nil {
		return Received{}, err
	}
	return Received{a.Event.Type, a.value, time.UnixMilli(a.Event.Timestamp)}, nil
}

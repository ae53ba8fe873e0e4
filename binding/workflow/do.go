package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// internalFailure is that of an attempt that did not come to an end.
var internalFailure = &Failure{"WorkflowInternalError", "Attempt failed due to internal workflows error"}

// stepConfig is how a step is tried, as the Worker says it. Dynamic: a function of
// the Worker says the delays.
type stepConfig struct {
	Config  json.RawMessage `json:"config"`
	Dynamic bool            `json:"dynamic"`
}

// policy reads it; of is "Step" or "Rollback".
func (c stepConfig) policy(of, name string) (policy, error) {
	p, ok := parsePolicy(c.Config, c.Dynamic)
	if !ok {
		return p, fatal("%s config for %q is in a invalid format. See https://developers.cloudflare.com/workflows/build/sleeping-and-retrying/", of, name)
	}
	return p, nil
}

// do is step.do: what the step has returned, or an attempt to make. undo, unless
// nil, is how it is rolled back.
func (r *run) do(ctx context.Context, l label, c stepConfig, undo *stepConfig) (a answer, err error) {
	name := l.Name
	if undo != nil {
		if _, err := undo.policy("Rollback", name); err != nil {
			return answer{}, err
		}
	}
	p, err := c.policy("Step", name)
	if err != nil {
		return answer{}, err
	}
	if !r.enter(ctx) {
		return endedAnswer, nil
	}
	if r.taken++; r.taken > r.limit {
		return answer{}, fatal("The limit of %d steps has been reached. This limit can be changed in your worker configuration.", r.limit)
	}
	st, fresh, err := r.find(typeDo, l)
	if err != nil {
		return answer{}, err
	}
	if undo != nil {
		st.Rollback = true
		defer func() {
			if err == nil && !a.Ended {
				a.Step = &startedStep{st.place, stepContext{stepName{st.Name, st.Count}, st.Attempts, p}}
			}
		}()
	}
	if st.Done || st.Failure != nil {
		return r.result(st)
	}
	if r.in.rec.Rollback != nil {
		if fresh {
			return answer{}, r.forget(st, errUndoing)
		}
		return answer{Failure: errUndoing}, nil
	}
	return r.start(ctx, st, fresh, p)
}

// errUndoing is the failure of steps that begin while others are undone.
var errUndoing = fatal("Cannot execute steps during rollback phase")

// start makes the next attempt of a step that is not done.
func (r *run) start(ctx context.Context, st *step, fresh bool, p policy) (answer, error) {
	if st.running {
		return answer{}, fatal("Step %q is under way already", st.Name)
	}
	st.policy = p
	if fresh {
		st.Config, st.Hidden = encode(p.shown()), p.Sensitive == "output"
	}
	if st.Attempts > 0 && st.RetryAt == 0 { // something cut it off
		if last := len(st.Tries) - 1; last >= 0 && st.Tries[last].End == 0 {
			st.Tries[last].End, st.Tries[last].Failure = r.in.w.store.millis(), internalFailure
		}
		n := st.tried(noteTryFailed)
		n.Failure = internalFailure
		if st.Attempts > p.Retries.Limit {
			return r.fail(st, &Failure{"WorkflowInternalError", fmt.Sprintf("Attempt %d of step %q did not finish", st.Attempts, st.Name)}, n)
		}
		if err := r.save(keyed.Batch.CommitUnsynced, st, func(b keyed.Batch) { r.in.note(b, n) }); err != nil {
			return answer{}, err
		}
	}
	return r.attempt(ctx, st)
}

// attempt waits until the next attempt may be made.
func (r *run) attempt(ctx context.Context, st *step) (answer, error) {
	s := r.in.w.store
	for st.RetryAt > s.millis() {
		r.wait(ctx, st.RetryAt, "")
		if r.ended || ctx.Err() != nil {
			return endedAnswer, nil
		}
	}
	if !r.enter(ctx) {
		return endedAnswer, nil
	}
	st.Attempts++
	st.RetryAt = 0
	st.Tries = append(st.Tries, try{Start: s.millis()})
	if n := len(st.Tries) - maxTries; n > 0 {
		st.Tries = st.Tries[n:]
	}
	// If a crash undoes it, an attempt is not counted.
	err := r.save(keyed.Batch.CommitUnsynced, st, func(b keyed.Batch) {
		if st.Attempts == 1 {
			r.in.note(b, st.of(noteStep))
		}
		r.in.note(b, st.tried(noteTry))
	})
	if err != nil {
		return answer{}, err
	}
	st.running = true
	r.busy++
	r.settle()
	return answer{Attempt: &attempt{Place: st.place, Timeout: st.policy.timeout,
		Context: stepContext{stepName{st.Name, st.Count}, st.Attempts, st.policy}}}, nil
}

// attempted is the step whose attempt has ended, or nil if nobody waits for it.
func (r *run) attempted(place uint32) *step {
	if !r.ended {
		for _, st := range r.steps {
			if st.place == place && st.running {
				return st
			}
		}
	}
	return nil
}

// succeeded notes what the attempt of a step has returned.
func (r *run) succeeded(ctx context.Context, place uint32, v Value) (answer, error) {
	st := r.attempted(place)
	if st == nil {
		return endedAnswer, nil
	}
	if st.Type == typeUndo {
		v = nil
	}
	if len(v) > MaxValueBytes {
		return r.failed(ctx, place, &Failure{"WorkflowInternalError",
			fmt.Sprintf("Step %v output is too large. Maximum allowed size is 1MiB.", stepName{st.Name, st.Count})}, nil)
	}
	if r.bytes+int64(len(v)) > MaxStateBytes {
		return r.failed(ctx, place, fatal("The instance has stored more than %d bytes", MaxStateBytes), nil)
	}
	if err := r.in.w.store.grow(int64(len(v))); err != nil {
		return r.failed(ctx, place, &Failure{"WorkflowInternalError", err.(*Error).Reply}, nil)
	}
	next := *st
	next.Value, next.Bytes = st.place, int64(len(v))
	return answer{}, r.finishStep(st, next, func(b keyed.Batch) { setValue(b, r.in.w.number, r.in.number, st.place, v) })
}

// finishStep stores what a step has become that is done, and what else stage says.
func (r *run) finishStep(st *step, next step, stage func(b keyed.Batch)) error {
	in := r.in
	now := in.w.store.millis()
	next.Tries[len(next.Tries)-1].End = now
	next.Done, next.End = true, now
	// Others go on meanwhile; whoever changes the instance's history waits.
	first := in.noted + 1
	tried, done := st.tried(noteTryDone), st.of(noteStepDone)
	tried.At, done.At = now, now
	in.noted += 2
	in.writing = append(in.writing, first)
	r.committing++
	in.mu.Unlock()
	err := r.save(keyed.Batch.Commit, &next, func(b keyed.Batch) {
		stage(b)
		b.Set(noteKey(in.w.number, in.number, first), encode(tried))
		b.Set(noteKey(in.w.number, in.number, first+1), encode(done))
	})
	in.mu.Lock()
	in.writing = slices.DeleteFunc(in.writing, func(n uint64) bool { return n == first })
	in.w.store.watching.wake(watched{in.w.number, in.number})
	r.committing--
	in.quiet.Broadcast()
	if err == nil {
		*st = next
		r.bytes += st.Bytes
		r.done++
	}
	st.running = false
	r.busy--
	r.settle()
	return err
}

// failed notes that the attempt of a step has failed, and goes on to the next one.
// delay is what the Worker's own function says, in ms.
func (r *run) failed(ctx context.Context, place uint32, f *Failure, delay *int64) (answer, error) {
	st := r.attempted(place)
	if st == nil {
		return endedAnswer, nil
	}
	now := r.in.w.store.millis()
	st.running = false
	r.busy--
	st.Tries[len(st.Tries)-1].End = now
	logged := f
	if message, ok := nonRetryable(f); ok && !r.preserve {
		logged = fatal("Step threw a NonRetryableError with message %q", message)
	}
	st.Tries[len(st.Tries)-1].Failure = logged
	n := st.tried(noteTryFailed)
	n.Failure = logged
	if _, ok := nonRetryable(f); ok || f.Name == noDelayName || st.Attempts > st.policy.Retries.Limit {
		return r.fail(st, f, n)
	}
	pause := st.policy.pause(st.Attempts)
	if delay != nil {
		pause = min(max(*delay, 0), maxMillis)
	}
	st.RetryAt = now + pause
	n.Delay = &pause
	if err := r.save(keyed.Batch.CommitUnsynced, st, func(b keyed.Batch) { r.in.note(b, n) }); err != nil {
		return answer{}, err
	}
	r.settle()
	return r.attempt(ctx, st)
}

// fail stores that a step has failed for good, and what is to be noted before that.
func (r *run) fail(st *step, f *Failure, notes ...note) (answer, error) {
	st.Failure, st.End = f, r.in.w.store.millis()
	r.done++
	err := r.save(keyed.Batch.Commit, st, func(b keyed.Batch) {
		for _, n := range notes {
			r.in.note(b, n)
		}
		n := st.of(noteStepFailed)
		switch st.Type {
		case typeWait:
			n.Type = noteWaitTimedOut
		case typeUndo:
			n.Failure = f
		}
		r.in.note(b, n)
	})
	r.settle()
	return answer{Failure: f}, err
}

const nonRetryableName = "NonRetryableError"

// noDelayName is the name of the failure of a step whose own function does not say
// how long to wait.
const noDelayName = "NonRetryableDelayError"

// nonRetryable reports whether the Worker asks that a step be not tried again, and
// the message of its error: RPC carries the name in the message.
func nonRetryable(f *Failure) (message string, ok bool) {
	if f.Name != nonRetryableName && !strings.HasPrefix(f.Message, nonRetryableName) {
		return "", false
	}
	message = strings.TrimPrefix(f.Message, nonRetryableName)
	return strings.TrimLeft(strings.TrimPrefix(message, ":"), " "), true
}

// uncaught is the failure of an instance whose function has thrown.
func (r *run) uncaught(f *Failure) *Failure {
	message, ok := nonRetryable(f)
	switch {
	case !ok:
		return f
	case r.preserve:
		return &Failure{nonRetryableName, message}
	}
	return fatal("The execution of the Workflow instance was terminated, as a step threw an NonRetryableError and it was not handled")
}

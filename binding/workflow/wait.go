package workflow

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// sleep is step.sleep, or step.sleepUntil where until is a time in ms.
func (r *run) sleep(ctx context.Context, l label, duration json.RawMessage, until *int64) (answer, error) {
	if !r.enter(ctx) {
		return endedAnswer, nil
	}
	st, fresh, err := r.find(typeSleep, l)
	if err != nil || st.Done {
		return answer{}, err
	}
	s := r.in.w.store
	if r.in.rec.Rollback != nil {
		if fresh {
			return answer{}, r.forget(st, nil)
		}
		return answer{}, nil
	}
	if fresh {
		if err := st.set(s.millis(), duration, until); err != nil {
			return answer{}, r.forget(st, err)
		}
		n, ms := st.of(noteSleep), st.Until-s.millis()
		n.Duration = &ms
		if err := r.save(keyed.Batch.Commit, st, func(b keyed.Batch) { r.in.note(b, n) }); err != nil {
			return answer{}, err
		}
	}
	for s.millis() < st.Until {
		r.wait(ctx, st.Until, "")
		if r.ended || ctx.Err() != nil {
			return endedAnswer, nil
		}
	}
	if !r.enter(ctx) {
		return endedAnswer, nil
	}
	st.Done, st.End = true, s.millis()
	r.done++
	// A crash that undoes it finds the end of the sleep where it was.
	return answer{}, r.save(keyed.Batch.CommitUnsynced, st, func(b keyed.Batch) { r.in.note(b, st.of(noteSleepDone)) })
}

// set says when a sleep ends.
func (st *step) set(now int64, duration json.RawMessage, until *int64) error {
	if until != nil {
		st.Until = *until
	} else {
		ms, err := parseDuration(duration)
		if err != nil {
			return &Failure{"TypeError", err.Error()}
		}
		st.Until = now + ms
	}
	switch {
	case st.Until < now:
		return &Failure{"Error", "You can't sleep until a time in the past, time-traveler"}
	case st.Until-now > MaxSleep.Milliseconds():
		return fatal("Step %q sleeps for longer than 365 days, the maximum", st.Name)
	}
	return nil
}

// forget takes back a step that could not begin.
func (r *run) forget(st *step, err error) error {
	delete(r.steps, stepKey(st.Type, st.Name, st.Count))
	r.in.w.store.count(-stepBytes)
	return err
}

// defaultPatience is how long an event is waited for, in ms.
const defaultPatience = 24 * 3600 * 1000

// waitForEvent is step.waitForEvent.
func (r *run) waitForEvent(ctx context.Context, l label, typ string, timeout json.RawMessage) (answer, error) {
	if !r.enter(ctx) {
		return endedAnswer, nil
	}
	st, fresh, err := r.find(typeWait, l)
	if err != nil {
		return answer{}, err
	}
	if st.Done || st.Failure != nil {
		return r.heard(st)
	}
	s := r.in.w.store
	if r.in.rec.Rollback != nil {
		if fresh {
			return answer{}, r.forget(st, errUndoing)
		}
		return answer{Failure: errUndoing}, nil
	}
	if fresh {
		patience := int64(defaultPatience)
		if len(timeout) > 0 {
			if patience, err = parseDuration(timeout); err != nil {
				return answer{}, r.forget(st, &Failure{"TypeError", err.Error()})
			}
			if patience > MaxSleep.Milliseconds() {
				return answer{}, r.forget(st, fatal("Step %q waits for longer than 365 days, the maximum", l.Name))
			}
		}
		st.Event, st.Timeout, st.Until = typ, patience, s.millis()+patience
		n := st.of(noteWait)
		n.Event = typ
		if err := r.save(keyed.Batch.Commit, st, func(b keyed.Batch) { r.in.note(b, n) }); err != nil {
			return answer{}, err
		}
	}
	for {
		if !r.enter(ctx) {
			return endedAnswer, nil
		}
		if taken, err := r.take(st); err != nil || taken {
			if err != nil {
				return answer{}, err
			}
			return r.heard(st)
		}
		if s.millis() >= st.Until {
			return r.fail(st, &Failure{"WorkflowTimeoutError", fmt.Sprintf("Execution timed out after %dms", st.Timeout)})
		}
		r.wait(ctx, st.Until, st.Event)
		if ctx.Err() != nil {
			return endedAnswer, nil
		}
	}
}

// take gives the step the oldest event of its type, if there is one: it is taken
// and the step done in one commit.
func (r *run) take(st *step) (bool, error) {
	for i, e := range r.events {
		if e.Type != st.Event {
			continue
		}
		next := *st
		next.Done, next.End, next.Value, next.Sent, next.Bytes = true, r.in.w.store.millis(), e.place, e.At, e.Bytes
		err := r.save(keyed.Batch.Commit, &next, func(b keyed.Batch) {
			b.Delete(placeKey(rowEvent, r.in.w.number, r.in.number, e.place))
			r.in.note(b, st.of(noteWaitDone))
		})
		if err != nil {
			return false, err
		}
		*st = next
		r.done++
		r.in.w.store.count(-eventBytes)
		r.events = append(r.events[:i], r.events[i+1:]...)
		return true, nil
	}
	return false, nil
}

// heard is the answer of a step that has waited for an event.
func (r *run) heard(st *step) (answer, error) {
	a, err := r.result(st)
	if a.Failure == nil {
		a.Event = &eventInfo{st.Event, st.Sent}
	}
	return a, err
}

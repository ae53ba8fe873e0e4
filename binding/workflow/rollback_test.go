package workflow

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// undoing is a function whose steps note how they are undone, in the form "undo
// name/attempt why output". last fails, or waits.
func undoing(b **bench, last func(ctx context.Context, s *Steps) error) function {
	tries := map[string]int{} // over all runs
	return func(ctx context.Context, e Event, s *Steps) (any, error) {
		step := func(name string, fails int, undo *StepOptions) error {
			_, err := s.Do(ctx, name, StepOptions{Undo: undo, Rollback: func(_ context.Context, r Rollback) error {
				tries[name]++
				(*b).note("undo %s-%d/%d %v %s", r.Name, r.Count, r.Attempt, r.Why, r.Output)
				if tries[name] <= fails {
					return errors.New("cannot")
				}
				tries[name] = 0
				return nil
			}}, func(context.Context) (any, error) { return name, nil })
			return err
		}
		if err := errors.Join(step("a", 0, nil), step("b", 2, &StepOptions{Delay: time.Minute, Backoff: "constant"}), step("c", 0, nil)); err != nil {
			return nil, err
		}
		return nil, last(ctx, s)
	}
}

// When a function fails, its steps are undone, the last one first; the pauses of a
// rollback are waited for by nobody, and what is undone is not undone again.
func TestRollback(t *testing.T) {
	var b *bench
	inBubble(t, undoing(&b, func(context.Context, *Steps) error { return errors.New("no") }), func(made *bench) {
		b = made
		b.create("x", nil)
		b.after(30*time.Second, `0 undo c-1/1 Error: no "c"`, `0 undo b-1/1 Error: no "b"`)
		b.is("x", "rollingBack")
		if held := b.held(); held != [3]int{} {
			t.Errorf("%v are held", held)
		}
		b.must(b.flow.Pause(t.Context(), "x")) // has no effect
		b.after(time.Minute, `60 undo b-1/1 Error: no "b"`)
		b.stop() // and another program goes on
		b.close()
		b.open()
		b.after(time.Minute, `120 undo b-1/1 Error: no "b"`, `120 undo a-1/1 Error: no "a"`)
		b.is("x", "errored Error: no")
		b.outcome("x", "complete", "")
		b.must(b.flow.Restart(t.Context(), "x", nil))
		b.after(10*time.Minute, `150 undo c-1/1 Error: no "c"`, `150 undo b-1/1 Error: no "b"`, `210 undo b-1/1 Error: no "b"`, `270 undo b-1/1 Error: no "b"`, `270 undo a-1/1 Error: no "a"`)
		b.is("x", "errored Error: no")
	})
}

// An instance that sleeps is ended with its steps undone. The function runs for that,
// and takes no step.
func TestRollBackSleeper(t *testing.T) {
	var b *bench
	inBubble(t, undoing(&b, func(ctx context.Context, s *Steps) error {
		if err := s.Sleep(ctx, "nap", time.Hour); err != nil {
			return err
		}
		_, err := s.Do(ctx, "late", StepOptions{}, func(context.Context) (any, error) { b.note("late"); return nil, nil })
		return err
	}), func(made *bench) {
		b = made
		b.create("x", nil)
		b.after(time.Minute)
		b.is("x", "waiting")
		b.must(b.flow.RollBack(t.Context(), "x"))
		b.must(b.flow.RollBack(t.Context(), "x"))
		const why = "Terminated: Instance terminated during rollback"
		b.after(time.Hour, `60 undo c-1/1 `+why+` "c"`, `60 undo b-1/1 `+why+` "b"`, `120 undo b-1/1 `+why+` "b"`, `180 undo b-1/1 `+why+` "b"`, `180 undo a-1/1 `+why+` "a"`)
		b.is("x", "terminated")
		b.outcome("x", "complete", "")
		if err := b.flow.RollBack(t.Context(), "x"); !errors.Is(err, errEnded) {
			t.Error(err)
		}
	})
}

// A rollback that fails for good ends the others; so does one that the Worker does
// not have any more. An instance whose steps have none is terminated.
func TestRollbackFails(t *testing.T) {
	var b *bench
	inBubble(t, nil, func(made *bench) {
		b = made
		fails := func(context.Context, Rollback) error { b.note("undo"); return Final(errors.New("cannot")) }
		with := func(second func(context.Context, Rollback) error) function {
			return func(ctx context.Context, _ Event, s *Steps) (any, error) {
				nothing := func(context.Context) (any, error) { return nil, nil }
				_, err := s.Do(ctx, "first", StepOptions{Rollback: func(context.Context, Rollback) error { b.note("undo first"); return nil }}, nothing)
				if err == nil {
					_, err = s.Do(ctx, "second", StepOptions{Rollback: second}, nothing)
				}
				if err == nil {
					err = s.Sleep(ctx, "nap", time.Hour)
				}
				return nil, err
			}
		}
		b.function = with(fails)
		b.create("x", nil)
		b.after(time.Minute)
		b.must(b.flow.RollBack(t.Context(), "x"))
		b.after(time.Minute, "60 undo")
		b.is("x", "terminated")
		b.outcome("x", "failed", "NonRetryableError: cannot")

		b.create("y", nil)
		b.after(time.Minute)
		b.function = with(nil)
		b.must(b.flow.RollBack(t.Context(), "y"))
		b.after(time.Minute)
		b.is("y", "terminated")
		b.outcome("y", "failed", "RollbackMissing: Rollback function not available in registry")

		b.function = func(ctx context.Context, _ Event, s *Steps) (any, error) { return nil, s.Sleep(ctx, "nap", time.Hour) }
		b.create("z", nil)
		b.after(time.Minute)
		b.must(b.flow.RollBack(t.Context(), "z"))
		b.is("z", "terminated")
	})
}

// outcome compares what a rollback has come to.
func (b *bench) outcome(id, want, failure string) {
	b.Helper()
	b.must(b.flow.named(id, func(in *instance) error {
		got, why := "", ""
		if r := in.rec.Rollback; r != nil {
			if got = r.Outcome; r.Failure != nil {
				why = r.Failure.Error()
			}
		}
		if got != want || why != failure {
			return fmt.Errorf("%s: rollback %q %q, want %q %q", id, got, why, want, failure)
		}
		return nil
	}))
}

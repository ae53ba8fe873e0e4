package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A subscriber hears of everything once, in its order, while it happens and later.
func TestSubscription(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		done := make(chan error)
		for i := range 20 { // results that are on their way at the same time
			go func() {
				_, err := s.Do(ctx, fmt.Sprint("s", i), StepOptions{}, func(context.Context) (any, error) { return i, nil })
				done <- err
			}()
		}
		for range 20 {
			if err := <-done; err != nil {
				return nil, err
			}
		}
		return nil, s.Sleep(ctx, "nap", time.Hour)
	}, func(made *bench) {
		b = made
		b.create("x", "params")
		var live []string
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			live = b.hear("x", Subscription{})
		}()
		b.after(time.Minute)
		b.must(b.flow.Pause(b.Context(), "x"))
		b.must(b.flow.Resume(b.Context(), "x"))
		b.after(2 * time.Hour)
		<-ended
		later := b.hear("x", Subscription{})
		if !slices.Equal(live, later) {
			t.Errorf("while it happened\n%q\nlater\n%q", live, later)
		}
		rest := slices.DeleteFunc(slices.Clone(live), func(e string) bool { return strings.Contains(e, "step_") || strings.Contains(e, "attempt_") })
		want := []string{"workflow_queued ", `workflow_started "params"`, "workflow_running ", "sleep_started ", "workflow_waiting ", "workflow_paused ",
			"workflow_running ", "workflow_waiting ", "workflow_running ", "sleep_completed ", "workflow_completed null"}
		if !slices.Equal(rest, want) || len(live) != len(want)+4*20 {
			t.Errorf("%d events: %q", len(live), rest)
		}
		if got := b.hear("x", Subscription{Filter: []string{"sleep_started", "workflow_paused"}}); !slices.Equal(got, []string{"sleep_started ", "workflow_paused "}) {
			t.Errorf("%q", got)
		}
		if got := b.hear("x", Subscription{Cursor: uint64(len(live) - 1)}); !slices.Equal(got, []string{"workflow_completed null"}) {
			t.Errorf("%q", got)
		}
		for _, after := range []uint64{uint64(len(live)), 1 << 53} {
			if got := b.hear("x", Subscription{Cursor: after}); len(got) != 0 {
				t.Errorf("after %d: %q", after, got)
			}
		}
		if _, _, _, err := b.flow.Next(b.Context(), "x", Subscription{Filter: []string{"nothing"}}); !errors.Is(err, errSubscription) {
			t.Error(err)
		}
	})
}

// Who waits for events hears that the instance is started anew, or that it is gone.
func TestSubscriptionOfRestarted(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) { return nil, s.Sleep(ctx, "nap", time.Hour) }, func(made *bench) {
		b = made
		b.create("x", nil)
		b.after(time.Minute)
		list, cursor, _, err := b.flow.Next(b.Context(), "x", Subscription{})
		if err != nil || list[len(list)-1].Type != noteWaiting {
			t.Fatal(list, err)
		}
		heard := make(chan string)
		wait := func() {
			var list []InstanceEvent
			if list, cursor, _, err = b.flow.Next(b.Context(), "x", Subscription{Cursor: cursor}); err != nil {
				heard <- err.Error()
				return
			}
			heard <- list[0].Type
		}
		go wait()
		synctest.Wait()
		b.must(b.flow.Restart(b.Context(), "x", nil))
		if got := <-heard; got != noteQueued {
			t.Error(got)
		}
		b.after(time.Minute)
		cursor += 100
		go wait()
		synctest.Wait()
		b.must(b.flow.Remove(b.Context(), "x"))
		if got := <-heard; got != ErrNoInstance.Error() {
			t.Error(got)
		}
		b.k.store.watching.mu.Lock()
		defer b.k.store.watching.mu.Unlock()
		if n := len(b.k.store.watching.of); n != 0 {
			t.Errorf("%d watches are left", n)
		}
	})
}

// hear reads events until there are no more, in the form "type value".
func (b *bench) hear(id string, s Subscription) (heard []string) {
	for {
		list, cursor, done, err := b.flow.Next(b.Context(), id, s)
		if err != nil {
			b.Error(err)
			return heard
		}
		for _, e := range list {
			text := e.Type + " "
			if e.Type == noteStarted || e.Type == noteComplete {
				text += string(e.Value.JSON())
			}
			heard = append(heard, text)
		}
		if s.Cursor = cursor; done {
			return heard
		}
	}
}

package workflow

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// Ten thousand instances that sleep are held by nobody, and all wake.
func TestSleepers(t *testing.T) {
	const sleepers = 10_000
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		if err := s.Sleep(ctx, "nap", time.Hour); err != nil {
			return nil, err
		}
		return e.ID, nil
	}, func(made *bench) {
		b = made
		before := runtime.NumGoroutine()
		for range sleepers / MaxBatch {
			if _, err := b.flow.CreateBatch(t.Context(), make([]Create, MaxBatch)); err != nil {
				t.Fatal(err)
			}
		}
		b.after(sleepers / MaxRunning * 3 * time.Second)
		counts, err := b.flow.counts(t.Context())
		b.must(err)
		if held := b.held(); counts[Waiting] != sleepers || held != [3]int{} {
			t.Errorf("%v; %v are held", counts, held)
		}
		if n := runtime.NumGoroutine() - before; n > 20 {
			t.Errorf("%d goroutines more than before", n)
		}
		b.after(time.Hour + time.Minute)
		if counts, _ := b.flow.counts(t.Context()); counts[Complete] != sleepers {
			t.Errorf("%v", counts)
		}
	})
}

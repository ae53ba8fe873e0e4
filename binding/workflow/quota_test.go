package workflow

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

// What is stored is counted as it comes and goes, as it is when it is counted anew;
// what has no room is refused, and nothing changes.
func TestQuota(t *testing.T) {
	const result = 100_000
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		_, err := s.Do(ctx, "large", StepOptions{Retries: 1, Delay: time.Minute}, func(context.Context) (any, error) {
			return string(bytes.Repeat([]byte("x"), result)), nil
		})
		if err == nil {
			_, err = s.WaitForEvent(ctx, "event", "go", time.Hour)
		}
		return "an output", err
	}, func(b *bench) {
		s := b.k.store
		s.quota = 2*result + 20_000
		counted := func() {
			t.Helper()
			used, err := s.Measure(t.Context())
			if err != nil || used != s.used.Load() {
				t.Errorf("%d bytes are stored, %v; %d are counted", used, err, s.used.Load())
			}
		}
		refused := func(err error) {
			t.Helper()
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Status != http.StatusInsufficientStorage {
				t.Errorf("%v, want a refusal", err)
			}
			counted()
		}
		payload := Value(`"` + string(bytes.Repeat([]byte("x"), 1000)) + `"`)
		b.create("a", "params")
		b.create("b", "params")
		b.after(time.Minute)
		counted()
		b.create("c", nil) // there is no room for its result
		b.after(3 * time.Minute)
		b.is("c", "errored WorkflowInternalError: Storage limit exceeded: all Workflows together may store 220000 bytes.")
		counted()
		large := Create{Params: make(Value, 50_000)}
		_, err := b.flow.Create(t.Context(), large)
		refused(err)
		_, err = b.flow.CreateBatch(t.Context(), []Create{{}, large})
		refused(err)
		refused(b.flow.SendEvent(t.Context(), "a", "go", make(Value, 50_000)))
		b.must(b.flow.SendEvent(t.Context(), "a", "other", payload))
		counted()
		b.must(b.flow.SendEvent(t.Context(), "a", "go", payload))
		b.after(time.Minute)
		b.is("a", `complete "an output"`)
		counted()
		b.must(b.flow.Restart(t.Context(), "a", nil))
		b.after(time.Minute)
		counted()
		b.must(b.flow.Remove(t.Context(), "a"))
		b.must(b.flow.Remove(t.Context(), "c"))
		counted()
		b.create("d", nil)
		b.after(time.Minute)
		b.is("d", "waiting")
		b.must(b.flow.Delete())
		counted()
		if used := s.used.Load(); used != 0 {
			t.Errorf("%d bytes are counted of nothing", used)
		}
	})
}

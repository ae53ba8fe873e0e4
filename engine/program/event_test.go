package program

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

// receiver is a handler with a method of its own.
type receiver struct {
	http.Handler
	receive func(ctx context.Context) error
}

// host runs one Worker and returns what it tells.
func host(t *testing.T, w *Worker) (*Host, chan telemetry.Invocation) {
	told := make(chan telemetry.Invocation, 10)
	h := NewHost(Options{
		Deployed: func(string) (*config.Version, error) { return &config.Version{ID: "v"}, nil },
		Observed: func(string) bool { return true },
		Lines:    func(telemetry.Line) {}, Invocations: func(i telemetry.Invocation) { told <- i },
		Logger: slog.New(slog.DiscardHandler),
	}, []*Worker{w})
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h, told
}

// event is for receivers; answer is its result.
func event(answer func() any) binding.Event {
	return binding.Event{
		Type: "receive", ID: "0123456789abcdef", Info: map[string]int{"n": 1}, Answer: answer,
		Call: func(ctx context.Context, h http.Handler) error {
			r, ok := h.(*receiver)
			if !ok {
				return binding.ErrNoHandler
			}
			return r.receive(ctx)
		},
	}
}

// What a handler has answered counts however it ended, and so does what its
// WaitUntil functions have.
func TestSend(t *testing.T) {
	for name, c := range map[string]struct {
		receive func(ctx context.Context, ack func()) error
		outcome string
		acks    string
	}{
		"returns": {func(_ context.Context, ack func()) error { ack(); return nil }, "ok", "1"},
		"fails":   {func(_ context.Context, ack func()) error { ack(); return errors.New("no") }, "exception", "1"},
		"panics":  {func(_ context.Context, ack func()) error { ack(); panic("no") }, "exception", "1"},
		"waits": {func(ctx context.Context, ack func()) error {
			InvocationFrom(ctx).WaitUntil(func(context.Context) error { ack(); return nil })
			ack()
			return nil
		}, "ok", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			acks := make(chan int, 2)
			w := New("go")
			h, told := host(t, w)
			w.Open(&receiver{receive: func(ctx context.Context) error { return c.receive(ctx, func() { acks <- 1 }) }})
			out, err := h.Find("go").Send(t.Context(), &config.Version{ID: "v"}, event(func() any { return len(acks) }))
			if err != nil || out.Outcome != c.outcome || out.NoRetry || string(out.Result) != c.acks {
				t.Errorf("%s, result %s, %v", out.Outcome, out.Result, err)
			}
			if i := <-told; i.Outcome != c.outcome || i.Ray != "0123456789abcdef" || string(i.Event) != `{"n":1}` {
				t.Errorf("tail event %+v", i)
			}
		})
	}
}

func TestSendLimits(t *testing.T) {
	w := New("go")
	h, _ := host(t, w)
	v := &config.Version{ID: "v"}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Send(gone, v, event(nil)); !errors.Is(err, binding.ErrNotBegun) || !errors.Is(err, context.Canceled) {
		t.Errorf("before there is a handler: %v", err)
	}
	ended := make(chan error, 1)
	w.Open(&receiver{receive: func(ctx context.Context) error { <-ctx.Done(); ended <- context.Cause(ctx); return nil }})
	e := event(nil)
	e.Limit = time.Millisecond
	if out, err := w.Send(t.Context(), v, e); err != nil || out.Outcome != "exceededWallTime" {
		t.Errorf("beyond its time: %+v %v", out, err)
	}
	if err := <-ended; !errors.Is(err, errLimit) {
		t.Errorf("the handler's context ended by %v", err)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := w.Send(t.Context(), v, event(nil)); !errors.Is(err, binding.ErrNotBegun) {
		t.Errorf("after Close: %v", err)
	}
}

package program

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

// An invocation logs 256 KB; then it is told once that the rest is left out.
func TestLogIsBounded(t *testing.T) {
	var bytes, told int
	invocations := make(chan telemetry.Invocation, 1)
	w := New("go")
	h := NewHost(Options{
		Deployed: func(string) (*config.Version, error) { return &config.Version{ID: "v"}, nil },
		Observed: func(string) bool { return true },
		Lines: func(l telemetry.Line) {
			if l.Message == telemetry.LogLimitExceeded && l.Level == "warn" {
				told++
			} else {
				bytes += len(l.Message)
			}
		},
		Invocations: func(i telemetry.Invocation) { invocations <- i },
		Logger:      slog.New(slog.DiscardHandler),
	}, []*Worker{w})
	w.Open(&receiver{receive: func(ctx context.Context) error {
		for range 1000 {
			InvocationFrom(ctx).Logger().Info(strings.Repeat("x", 1<<10))
		}
		return nil
	}})
	if _, err := w.Send(t.Context(), &config.Version{ID: "v"}, event(nil)); err != nil {
		t.Fatal(err)
	}
	if i := <-invocations; !i.Truncated || len(i.Logs) != 256 {
		t.Errorf("%d lines in the tail event, truncated %v", len(i.Logs), i.Truncated)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if bytes != telemetry.MaxLogBytes || told != 1 {
		t.Errorf("%d bytes, told %d times", bytes, told)
	}
}

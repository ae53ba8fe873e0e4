package cron

import (
	"context"
	"net/http"
	"time"

	"github.com/selvage-edge/selvage/binding"
)

// Trigger is a cron trigger that fires.
type Trigger struct {
	// Cron is the expression as it was configured.
	Cron string
	// Time is the minute that it fires for.
	Time time.Time
}

// Handler is the handler of a Worker in Go that handles cron triggers, too. An
// error or a panic is an exception of the Worker.
type Handler interface {
	Scheduled(ctx context.Context, e Trigger) error
}

// Event makes the event that brings t to a Worker. The outcome covers what the
// handler gives to waitUntil.
func (t Trigger) Event() binding.Event {
	info := map[string]any{"cron": t.Cron, "scheduledTime": t.Time.UnixMilli()}
	return binding.Event{
		Type: "scheduled", Head: info, Info: info,
		Call: func(ctx context.Context, handler http.Handler) error {
			h, ok := handler.(Handler)
			if !ok {
				return binding.ErrNoHandler
			}
			return h.Scheduled(ctx, t)
		},
	}
}

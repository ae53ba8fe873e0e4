// Package program hosts Workers that are written in Go: it calls their handlers,
// knows what they are doing, makes their tail events, and waits for them at the
// end. A panic is an exception of the Worker (error 1101), never the end of the
// process. Which version of which Worker runs is the engine's decision.
package program

import (
	"context"
	"time"

	"github.com/selvage-edge/selvage/telemetry"
)

// Scheduler is a handler that handles cron triggers.
type Scheduler interface {
	Scheduled(ctx context.Context, e ScheduledEvent) error
}

// ScheduledEvent is a cron trigger that fires.
type ScheduledEvent struct {
	// Cron is the expression as it was configured.
	Cron string
	// Time is the minute that it fires for.
	Time time.Time
}

// Tailer is a handler that is told what other Workers did.
type Tailer interface {
	// TailOf names the Workers whose invocations it is told.
	TailOf() []string
	Tail(ctx context.Context, events []telemetry.Invocation) error
}

package cron

import (
	"context"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// Scheduler fires the cron triggers of the current snapshot.
type Scheduler struct {
	// Source says which Workers have which triggers.
	Source config.Source
	// Fire runs one trigger. It is called on a goroutine of its own, with the
	// expression as it was written and the minute it stands for. Required.
	Fire func(ctx context.Context, worker, expression string, at time.Time)
	// Now and Wait are the clock; nil means the real one. Wait returns false
	// when ctx ended first.
	Now  func() time.Time
	Wait func(ctx context.Context, until time.Time) bool
}

// Run fires triggers until ctx ends. A minute during which the machine slept
// is skipped, not made up for.
func (s *Scheduler) Run(ctx context.Context) {
	now, wait := s.Now, s.Wait
	if now == nil {
		now = time.Now
	}
	if wait == nil {
		wait = waitUntil
	}
	parsed := map[string]*Expression{} // by text; nil: not a valid expression
	for {
		at := now().Truncate(time.Minute).Add(time.Minute)
		if !wait(ctx, at) {
			return
		}
		at = now().Truncate(time.Minute).UTC()
		used := map[string]*Expression{}
		for _, w := range s.Source.Current().Workers {
			for _, text := range w.Crons {
				e, ok := parsed[text]
				if !ok {
					e, _ = Parse(text) // refused where it is configured
				}
				used[text] = e
				if e != nil && e.Matches(at) {
					go s.Fire(ctx, w.Name, text, at)
				}
			}
		}
		parsed = used
	}
}

func waitUntil(ctx context.Context, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

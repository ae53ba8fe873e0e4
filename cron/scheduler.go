package cron

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// Scheduler fires the cron triggers of the current snapshot.
type Scheduler struct {
	// Source says which Workers have which triggers.
	Source config.Source
	// Fire runs one trigger. It is called on a goroutine of its own, with the
	// expression as it was written and the minute it stands for, and says how it
	// ended, as [Run] does. Required.
	Fire func(ctx context.Context, worker, expression string, at time.Time) (outcome string, err error)
	// History keeps what has fired. Nil: nothing does.
	History *History
	// Log receives what goes wrong with the history. Nil: slog.Default().
	Log *slog.Logger
	// Now and Wait are the clock; nil means the real one. Wait returns false
	// when ctx ended first.
	Now  func() time.Time
	Wait func(ctx context.Context, until time.Time) bool

	mu    sync.Mutex
	ended bool // Run has returned: the history may be closed
}

// Run fires triggers until ctx ends. It fires for a minute that begins while it
// runs, and once. A minute during which the machine slept, or no server ran, is
// skipped, not made up for. How a trigger ends that still runs then is not noted.
func (s *Scheduler) Run(ctx context.Context) {
	now, wait := s.Now, s.Wait
	if now == nil {
		now = time.Now
	}
	if wait == nil {
		wait = func(ctx context.Context, until time.Time) bool { return sleep(ctx, until.Sub(now())) }
	}
	defer func() {
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
	}()
	parsed := map[string]*Expression{} // by text; nil: not a valid expression
	last := now().Truncate(time.Minute)
	for {
		if !wait(ctx, now().Truncate(time.Minute).Add(time.Minute)) {
			return
		}
		at := now().Truncate(time.Minute).UTC()
		if at.Equal(last) { // the clock was slowed down: the minute has not begun
			continue
		}
		last = at
		used := map[string]*Expression{}
		for _, w := range s.Source.Current().Workers {
			for _, text := range w.Crons {
				e, ok := parsed[text]
				if !ok {
					e, _ = Parse(text) // refused where it is configured
				}
				used[text] = e
				if e != nil && e.Matches(at) {
					s.fire(ctx, Run{Worker: w.Name, Cron: text, Time: at})
				}
			}
		}
		parsed = used
	}
}

// fire runs a trigger, unless it has fired for that minute. A history that cannot
// be written, because the disk is full, holds no trigger up.
func (s *Scheduler) fire(ctx context.Context, r Run) {
	log := s.Log
	if log == nil {
		log = slog.Default()
	}
	noted := s.History != nil
	if noted {
		first, err := s.History.Begin(r)
		if err != nil {
			log.Error("a cron trigger fires without being noted", "worker", r.Worker, "cron", r.Cron, "err", err)
			noted = false
		} else if !first {
			return
		}
	}
	go func() {
		began := time.Now()
		var err error
		r.Outcome, err = s.Fire(ctx, r.Worker, r.Cron, r.Time)
		r.Took = time.Since(began).Seconds()
		if err != nil {
			r.Error = err.Error()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if !noted || s.ended {
			return
		}
		if err := s.History.End(r); err != nil {
			log.Error("the outcome of a cron trigger is not noted", "worker", r.Worker, "cron", r.Cron, "err", err)
		}
	}()
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

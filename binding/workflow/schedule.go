package workflow

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Pauses of a Workflow whose Worker cannot be reached, and of an instance whose
// run was cut off.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// maxDue is how many instances are looked at in one go.
const maxDue = 256

// scheduler runs the instances of a Workflow when they are due. It has a goroutine
// that sleeps until the next one is, or until it is kicked.
type scheduler struct {
	w      *Workflow
	events binding.Events
	source config.Source
	// work is the context of the runs; it outlives the scheduler's.
	work context.Context
	runs *sync.WaitGroup
	done chan bool // of each run: the Worker was reached
	// stop ends the scheduler and waits for it, but not for its runs.
	stop func()

	// What follows belongs to the goroutine.

	running int
	idle    time.Time // nothing is run before
	pause   time.Duration
	times   timetable
}

// start begins to run instances, until stop is called or ctx ends.
func (s *scheduler) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	s.done = make(chan bool, MaxRunning)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.run(ctx)
	}()
	s.stop = func() {
		cancel()
		<-ended
	}
}

func (s *scheduler) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		next := s.times.tick(s)
		if until := s.step(ctx); next.IsZero() || !until.IsZero() && until.Before(next) {
			next = until
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(next.Sub(s.w.store.now()))
		}
		select {
		case <-ctx.Done():
		case <-s.w.kicked:
		case <-timer.C:
		case reached := <-s.done:
			s.running--
			if reached {
				s.pause = 0
			} else if !s.w.store.now().Before(s.idle) { // not for each of many at once
				s.rest()
			}
		}
	}
}

// rest pauses the scheduler, for longer each time.
func (s *scheduler) rest() time.Time {
	s.pause = min(max(2*s.pause, firstPause), lastPause)
	s.idle = s.w.store.now().Add(s.pause)
	return s.idle
}

// step runs what is due and says when there will be more to do without anybody
// telling; zero: never.
func (s *scheduler) step(ctx context.Context) time.Time {
	for ctx.Err() == nil {
		now := s.w.store.now()
		if now.Before(s.idle) {
			return s.idle
		}
		room := min(s.w.Info().Settings.concurrency()-s.running, maxDue)
		if room <= 0 {
			return time.Time{}
		}
		list, next, err := s.w.due(now.UnixMilli(), room)
		if err == nil {
			for _, row := range list {
				if err = s.begin(row); err != nil {
					break
				}
			}
		}
		if err != nil {
			s.w.store.log.Error("instances of a Workflow cannot be read", "workflow", s.w.name, "err", err)
			return s.rest()
		}
		if len(list) == 0 {
			if next == 0 {
				return time.Time{}
			}
			return time.UnixMilli(next)
		}
	}
	return time.Time{}
}

// due lists up to limit instances that are due, and says when the next one is.
func (w *Workflow) due(now int64, limit int) (list []place, next int64, err error) {
	w.mu.Lock()
	low, lowered := w.low, w.lowered
	w.mu.Unlock()
	prefix := key(rowDue, w.number)
	first := place{due: now}
	err = w.store.db.Scan(key(rowDue, w.number, uint64(low.due), low.number), keyed.After(prefix), func(k, _ []byte) bool {
		at := place{int64(binary.BigEndian.Uint64(k[len(prefix):])), binary.BigEndian.Uint64(k[len(prefix)+8:])}
		if len(list) == 0 {
			first = at
		}
		if at.due > now || len(list) == limit {
			next = at.due
			return false
		}
		list = append(list, at)
		return true
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && w.lowered == lowered {
		w.low = first
	}
	return list, next, err
}

// begin begins a run of an instance, or deletes one that has been kept for long
// enough.
func (s *scheduler) begin(row place) error {
	settings := s.w.Info().Settings // its lock comes before the instance's
	in, err := s.w.hold(row.number)
	if errors.Is(err, ErrNoInstance) {
		return s.w.store.db.Delete(key(rowDue, s.w.number, uint64(row.due), row.number))
	}
	if err != nil {
		return err
	}
	if in.rec.Status.ended() {
		defer in.let()
		if in.rec.Due > s.w.store.millis() {
			return nil
		}
		return in.remove()
	}
	r, err := in.begin(s.work, settings.limit(), s.preserve(settings.Script))
	if err != nil || r == nil {
		in.let()
		return err
	}
	params, err := s.w.store.value(s.w.number, in.number, paramsPlace)
	if err != nil {
		r.end(true)
		in.let()
		return err
	}
	e := r.event(settings.Class, params)
	in.mu.Unlock() // held, and let by execute
	s.running++
	s.runs.Go(func() { s.done <- s.execute(r, settings.Script, e) })
	return nil
}

func (s Settings) limit() int {
	if s.Steps > 0 {
		return s.Steps
	}
	return DefaultSteps
}

func (s Settings) concurrency() int {
	if s.Concurrency > 0 {
		return min(s.Concurrency, MaxRunning)
	}
	return MaxRunning
}

// execute gives the Worker the run and notes its outcome. It reports whether the
// Worker could be reached.
func (s *scheduler) execute(r *run, script string, e binding.Event) (reached bool) {
	defer func() {
		r.in.mu.Lock()
		r.in.let()
	}()
	before := s.deployment(script)
	out, err := s.events.Send(r.ctx, script, e)
	log := s.w.store.log.With("workflow", s.w.name, "worker", script, "instance", e.Info.(eventDescription).Instance)
	switch {
	case r.isOver(): // put to rest, paused, ended by a call, deleted
		return true
	case errors.Is(err, binding.ErrNotBegun):
		if s.work.Err() == nil {
			log.Warn("a Workflow's Worker cannot be reached; the instance is tried again", "err", err)
		}
		err = r.interrupted(false, firstPause)
	case err == nil && out.Outcome == "ok" && r.settled(&out):
		err = nil
	default:
		innocent := s.work.Err() != nil || s.deployment(script) != before
		if !innocent {
			log.Warn("a run of a Workflow was cut off; it begins anew", "outcome", out.Outcome, "err", err)
		}
		err = r.interrupted(!innocent, r.penance())
		reached = true
	}
	if err != nil {
		log.Error("the state of an instance cannot be stored", "err", err)
	}
	return reached || err == nil && out.Outcome == "ok"
}

// isOver reports whether the run may take no more steps.
func (r *run) isOver() bool {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	return r.ended
}

// penance is how long an instance has to wait whose runs are cut off.
func (r *run) penance() time.Duration {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	if r.done > 0 || r.in.rec.Cuts == 0 {
		return 0
	}
	return min(firstPause<<(r.in.rec.Cuts-1), lastPause)
}

// settled notes what the Worker says of a run that has come to its end. false: it
// says nothing that can be understood.
func (r *run) settled(out *binding.Outcome) bool {
	var result runResult
	if json.Unmarshal(out.Result, &result) != nil {
		return false
	}
	var err error
	switch {
	case result.Status == "complete":
		if len(out.Body) > 0 {
			result.Output = out.Body
		}
		err = r.complete(result.Output, nil)
	case result.Status == "errored" && result.Failure != nil:
		err = r.complete(nil, result.Failure)
	default:
		return false
	}
	if err != nil {
		r.in.w.store.log.Error("the outcome of an instance cannot be stored", "workflow", r.in.w.name, "err", err)
		return false
	}
	return true
}

// deployment is that of a Worker that is in force; empty without one.
func (s *scheduler) deployment(worker string) string {
	if w := s.source.Current().Workers[worker]; w != nil {
		return w.Deployment
	}
	return ""
}

// preserve reports whether a Worker's errors are told as they were thrown.
//
// Source: https://developers.cloudflare.com/workers/configuration/compatibility-flags/
func (s *scheduler) preserve(worker string) bool {
	const on, off, since = "workflows_preserve_non_retryable_error_message", "workflows_replace_non_retryable_error_message", "2026-05-14"
	w := s.source.Current().Workers[worker]
	if w == nil || len(w.Shares) == 0 {
		return false
	}
	v := w.Shares[0].Version
	if v.CompatibilityDate >= since {
		return !slices.Contains(v.CompatibilityFlags, off)
	}
	return slices.Contains(v.CompatibilityFlags, on)
}

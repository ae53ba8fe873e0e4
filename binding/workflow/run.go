package workflow

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// run is a run of an instance's function, from its start. The instance's lock
// guards it.
type run struct {
	in    *instance
	token string
	ctx   context.Context
	// cut ends the event by which the Worker runs.
	cut context.CancelFunc
	// over is closed when the run may take no more steps.
	over  chan struct{}
	ended bool
	limit int // of steps
	// preserve: a NonRetryableError stays one in what is told of it.
	preserve bool

	steps  map[string]*step
	counts map[string]int
	next   uint32 // the place of the next new step
	taken  int    // steps that count against the limit
	bytes  int64  // of the results
	events []sent

	// busy is the number of attempts in the Worker's hands, committing that of
	// results on their way to the disk, done that of steps that were done.
	busy, committing, done int
	waits                  map[*wait]struct{}
	// gate is closed when the instance is resumed; nil unless a step waits for it.
	gate    chan struct{}
	idle    *time.Timer
	idleFor int // counts the changes that make idle out of date
}

// answer is what a step is told. One of the fields is set; none: the value.
type answer struct {
	// Ended: the run is over, and nobody waits for its function.
	Ended bool `json:"ended,omitempty"`
	// Failure is what the step throws.
	Failure *Failure `json:"failure,omitempty"`
	// Attempt is one that is to be made.
	Attempt *attempt `json:"attempt,omitempty"`
	// Event is what, beside its payload, is told of an event.
	Event *eventInfo `json:"event,omitempty"`
	// Stream is the place of the stream that the step has returned; 0: none.
	Stream uint32 `json:"stream,omitempty"`
	// Step is told of a step with a rollback, besides the rest.
	Step *startedStep `json:"step,omitempty"`
	// Undo are the places of the steps to be undone, in this order, and Why is why.
	Undo []uint32 `json:"undo,omitempty"`
	Why  *Failure `json:"why,omitempty"`

	value Value
}

// startedStep is one that has begun, now or in an earlier run.
type startedStep struct {
	Place   uint32      `json:"place"`
	Context stepContext `json:"context"`
}

type attempt struct {
	Place   uint32      `json:"place"`
	Timeout int64       `json:"timeout"` // ms
	Context stepContext `json:"context"`
}

// stepContext is what the step's function gets.
type stepContext struct {
	Step    stepName `json:"step"`
	Attempt int      `json:"attempt"`
	Config  policy   `json:"config"`
}

type stepName struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// String is how a step is named where the count matters, too.
func (n stepName) String() string { return fmt.Sprintf("%s-%d", n.Name, n.Count) }

type eventInfo struct {
	Type      string `json:"type"`
	Timestamp int64  `json:"timestamp"` // ms
}

var endedAnswer = answer{Ended: true}

// begin begins a run of the instance if it is due; nil if it is not. Locked.
func (in *instance) begin(ctx context.Context, limit int, preserve bool) (*run, error) {
	s := in.w.store
	if in.run != nil || in.rec.Status.ended() || in.rec.Due == 0 || in.rec.Due > s.millis() {
		return nil, nil
	}
	var token [16]byte
	rand.Read(token[:]) // never fails
	r := &run{in: in, token: hex.EncodeToString(token[:]), over: make(chan struct{}), limit: limit, preserve: preserve, next: 1,
		steps: map[string]*step{}, counts: map[string]int{}, waits: map[*wait]struct{}{}}
	steps, err := s.steps(in.w.number, in.number)
	if err != nil {
		return nil, err
	}
	for _, st := range steps {
		r.steps[stepKey(st.Type, st.Name, st.Count)] = st
		r.next = max(r.next, st.place+1)
		r.bytes += st.Bytes
	}
	if r.events, err = s.events(in.w.number, in.number); err != nil {
		return nil, err
	}
	// After a crash that undoes it the instance is due as before.
	err = in.changeBy(keyed.Batch.CommitUnsynced, func(next *record, b keyed.Batch) error {
		next.Status, next.Running, next.Due, next.Awaits = next.as(Running), true, 0, nil
		if next.Started == 0 {
			next.Started = s.millis()
			in.note(b, note{Type: noteStarted})
		}
		if next.Status == Running {
			in.note(b, note{Type: noteRunning})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.ctx, r.cut = context.WithCancel(ctx)
	in.run = r
	s.liveMu.Lock()
	s.live[r.token] = r
	s.liveMu.Unlock()
	return r, nil
}

// end ends the run: no step of it goes on. cut: the Worker is cut off.
func (r *run) end(cut bool) {
	if r.ended {
		return
	}
	r.ended = true
	close(r.over)
	r.unidle()
	if cut {
		r.cut()
	}
	r.in.run = nil
	s := r.in.w.store
	s.liveMu.Lock()
	delete(s.live, r.token)
	s.liveMu.Unlock()
}

// step calls f as a step of the run of a token, locked.
func (s *Store) step(ctx context.Context, token string, f func(r *run, ctx context.Context) (answer, error)) (answer, error) {
	s.liveMu.Lock()
	r := s.live[token]
	s.liveMu.Unlock()
	if r == nil {
		return endedAnswer, nil
	}
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	a, err := f(r, ctx)
	if failure := (*Failure)(nil); errors.As(err, &failure) {
		return answer{Failure: failure}, nil
	}
	return a, err
}

func stepKey(typ, name string, count int) string { return fmt.Sprintf("%s:%d:%s", typ, count, name) }

// enter waits until the run may take steps; false once it is over.
func (r *run) enter(ctx context.Context) bool {
	for !r.ended && r.in.rec.Status == WaitingForPause {
		if r.gate == nil {
			r.gate = make(chan struct{})
		}
		gate := r.gate
		r.in.mu.Unlock()
		select {
		case <-gate:
		case <-r.over:
		case <-ctx.Done():
		}
		r.in.mu.Lock()
		if ctx.Err() != nil {
			return false
		}
	}
	return !r.ended
}

// resumed opens the gate.
func (r *run) resumed() {
	if r.gate != nil {
		close(r.gate)
		r.gate = nil
	}
}

// label names a step in a call. Count tells those of one type and name apart, in the
// order in which the function took them; 0: the next one.
type label struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// find finds the record of a step, or makes one that is not stored yet.
func (r *run) find(typ string, l label) (st *step, fresh bool, err error) {
	name := l.Name
	if len(name) > MaxStepNameChars && len([]rune(name)) > MaxStepNameChars || slices.ContainsFunc([]rune(name), func(c rune) bool { return c < ' ' }) {
		return nil, false, fatal("Step name %q exceeds max length (%d chars) or invalid characters found", name, MaxStepNameChars)
	}
	if l.Count <= 0 {
		counter := typ + ":" + name
		r.counts[counter]++
		l.Count = r.counts[counter]
	}
	k := stepKey(typ, name, l.Count)
	if st := r.steps[k]; st != nil {
		return st, false, nil
	}
	if r.next >= outputPlace {
		return nil, false, fatal("The instance has too many steps")
	}
	st = &step{Type: typ, Name: name, Count: l.Count, Start: r.in.w.store.millis(), place: r.next}
	r.next++
	r.steps[k] = st
	r.in.w.store.count(stepBytes)
	return st, true, nil
}

// save stores a step's record, and what else stage says.
func (r *run) save(commit func(keyed.Batch) error, st *step, stage func(b keyed.Batch)) error {
	in := r.in
	b := in.w.store.db.Batch()
	defer b.Close()
	b.Set(placeKey(rowStep, in.w.number, in.number, st.place), encode(st))
	if stage != nil {
		stage(b)
	}
	if err := commit(b); err != nil {
		return fmt.Errorf("store step %s of instance %s: %w", st.Name, in.rec.ID, err)
	}
	in.w.store.watching.wake(watched{in.w.number, in.number})
	return nil
}

// result is what a step that has ended is told.
func (r *run) result(st *step) (answer, error) {
	if st.Failure != nil {
		return answer{Failure: st.Failure}, nil
	}
	if st.Stream {
		return answer{Stream: st.place}, nil
	}
	v, err := r.in.w.store.value(r.in.w.number, r.in.number, st.Value)
	return answer{value: v}, err
}

// complete notes what the function has returned or thrown. The outcome of a run
// that is over, or that is to be paused, counts for nothing: it comes again.
func (r *run) complete(output Value, failure *Failure) error {
	in := r.in
	in.mu.Lock()
	defer in.mu.Unlock()
	for !r.ended && r.committing > 0 {
		in.quiet.Wait()
	}
	switch {
	case r.ended:
		return nil
	case in.rec.Status == WaitingForPause:
		return in.pause()
	}
	if failure == nil && len(output) > MaxValueBytes {
		failure = &Failure{"WorkflowInternalError", "Workflow instance output is too large. Maximum allowed size is 1MiB."}
	}
	status := Complete
	switch {
	case in.rec.Rollback != nil:
		status, output, failure = in.rec.Rollback.Into, nil, r.uncaught(in.rec.Rollback.Why)
		if status == Terminated {
			failure = nil
		}
	case failure != nil:
		status, output, failure = Errored, nil, r.uncaught(failure)
	}
	r.end(false)
	return in.finish(status, output, failure)
}

// maxCuts is how many runs in a row may be cut off without a step being done
// before the instance fails.
const maxCuts = 10

// interrupted notes that something has cut off the run, which begins again after a
// pause. guilty: it may have been the Worker's own fault, and attempts that were
// cut off count.
func (r *run) interrupted(guilty bool, pause time.Duration) error {
	in := r.in
	in.mu.Lock()
	defer in.mu.Unlock()
	for !r.ended && r.committing > 0 {
		in.quiet.Wait()
	}
	if r.ended {
		return nil
	}
	r.end(true)
	cuts := in.rec.Cuts
	if r.done > 0 {
		cuts = 0
	}
	if guilty {
		cuts++
	}
	if cuts >= maxCuts {
		return in.finish(Errored, nil, &Failure{"WorkflowInternalError", "Attempt failed due to internal workflows error"})
	}
	now := in.w.store.millis()
	return in.change(func(next *record, b keyed.Batch) error {
		next.Running, next.Cuts = false, cuts
		if !guilty {
			for _, st := range r.steps {
				if st.running {
					st.Attempts--
					st.Tries = st.Tries[:len(st.Tries)-1]
					st.RetryAt = now
					b.Set(placeKey(rowStep, in.w.number, in.number, st.place), encode(st))
				}
			}
		}
		if next.Status == WaitingForPause {
			next.Status, next.Held = Paused, now
			in.note(b, note{Type: notePaused})
			return nil
		}
		next.Status, next.Due = next.as(Queued), now+pause.Milliseconds()
		return nil
	})
}

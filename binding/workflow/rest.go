package workflow

import (
	"context"
	"slices"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// linger is how long all steps of a run must have been waiting, and still have to
// wait, until the run ends.
const linger = time.Second

// wait is a step that waits.
type wait struct {
	until int64
	event string        // type of an event that ends it, too
	ch    chan struct{} // told of such an event
}

// wait waits until a time, or for an event.
func (r *run) wait(ctx context.Context, until int64, event string) {
	s := r.in.w.store
	w := &wait{until, event, make(chan struct{}, 1)}
	r.waits[w] = struct{}{}
	r.settle()
	timer := time.NewTimer(time.Duration(until-s.millis()) * time.Millisecond)
	defer timer.Stop()
	r.in.mu.Unlock()
	select {
	case <-timer.C:
	case <-w.ch:
	case <-r.over:
	case <-ctx.Done():
	}
	r.in.mu.Lock()
	delete(r.waits, w)
	r.settle()
}

// arrived notes an event.
func (r *run) arrived(e sent) {
	r.events = append(r.events, e)
	for w := range r.waits {
		if w.event == e.Type {
			select {
			case w.ch <- struct{}{}:
			default:
			}
		}
	}
}

// settle notes that something began or ended to wait or to run: it pauses the
// instance when it is to be, and has the run end once it has waited for a while.
func (r *run) settle() {
	r.unidle()
	if r.ended || r.busy > 0 || r.committing > 0 {
		return
	}
	if r.in.rec.Status == WaitingForPause {
		if err := r.in.pause(); err != nil {
			r.in.w.store.log.Error("an instance cannot be paused", "workflow", r.in.w.name, "instance", r.in.rec.ID, "err", err)
		}
		return
	}
	if len(r.waits) > 0 && r.earliest() > r.in.w.store.millis()+2*linger.Milliseconds() {
		turn := r.idleFor
		r.idle = time.AfterFunc(linger, func() { r.rest(turn) })
	}
}

func (r *run) unidle() {
	r.idleFor++
	if r.idle != nil {
		r.idle.Stop()
		r.idle = nil
	}
}

// earliest is when the first of the waits ends by itself.
func (r *run) earliest() int64 {
	first := int64(maxMillis) * 2
	for w := range r.waits {
		first = min(first, w.until)
	}
	return first
}

// rest ends the run until a step is due again. turn is idleFor when it was
// decided.
func (r *run) rest(turn int) {
	in := r.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if r.ended || r.idleFor != turn {
		return
	}
	err := in.change(func(next *record, b keyed.Batch) error {
		next.Status, next.Due, next.Running, next.Cuts = next.as(Waiting), r.earliest(), false, 0
		if next.Status == Waiting {
			in.note(b, note{Type: noteWaiting})
		}
		for w := range r.waits {
			if w.event != "" && !slices.Contains(next.Awaits, w.event) {
				next.Awaits = append(next.Awaits, w.event)
			}
		}
		slices.Sort(next.Awaits)
		return nil
	})
	if err != nil {
		in.w.store.log.Error("an instance cannot be put to rest", "workflow", in.w.name, "instance", in.rec.ID, "err", err)
		return
	}
	r.end(false)
}

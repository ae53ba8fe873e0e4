package workflow

import (
	"context"
	"net/http"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Pause has the instance of an id do no further step: at once, or when those that
// run are done. One that is paused or has ended is left alone.
func (w *Workflow) Pause(_ context.Context, id string) error {
	return w.named(id, func(in *instance) error {
		if in.rec.Status == Running && in.run != nil && in.run.busy > 0 {
			return in.change(func(next *record, b keyed.Batch) error {
				next.Status = WaitingForPause
				in.note(b, note{Type: notePausing})
				return nil
			})
		}
		switch in.rec.Status {
		case Queued, Running, Waiting:
			return in.pause()
		}
		return nil
	})
}

// pause pauses the instance; a run that is under way ends.
func (in *instance) pause() error {
	in.stop()
	return in.change(func(next *record, b keyed.Batch) error {
		in.note(b, note{Type: notePaused})
		next.Status, next.Held = Paused, in.w.store.millis()
		next.Due, next.Awaits, next.Running = 0, nil, false
		return nil
	})
}

// Resume lets a paused instance go on: what it waited for, it waits for as long as
// was left. Others are left alone.
func (w *Workflow) Resume(_ context.Context, id string) error {
	return w.named(id, func(in *instance) error {
		switch in.rec.Status {
		case WaitingForPause:
			err := in.change(func(next *record, b keyed.Batch) error {
				next.Status = Running
				in.note(b, note{Type: noteRunning})
				return nil
			})
			if err == nil && in.run != nil {
				in.run.resumed()
			}
			return err
		case Paused:
			return in.change(in.resume)
		}
		return nil
	})
}

func (in *instance) resume(next *record, b keyed.Batch) error {
	s := in.w.store
	shift := max(s.millis()-next.Held, 0)
	steps, err := s.steps(in.w.number, in.number)
	if err != nil {
		return err
	}
	for _, st := range steps {
		if st.Done || st.Failure != nil {
			continue
		}
		if st.Until != 0 {
			st.Until += shift
		}
		if st.RetryAt != 0 {
			st.RetryAt += shift
		}
		b.Set(placeKey(rowStep, in.w.number, in.number, st.place), encode(st))
	}
	next.Status, next.Due, next.Held = Queued, s.millis(), 0
	return nil
}

// Terminate ends the instance of an id; a step in the middle is cut off.
func (w *Workflow) Terminate(_ context.Context, id string) error {
	return w.named(id, func(in *instance) error {
		if in.rec.Status.ended() {
			return errEnded
		}
		in.stop()
		return in.finish(Terminated, nil, nil)
	})
}

// finish notes how the instance has ended.
func (in *instance) finish(status Status, output Value, failure *Failure) error {
	return in.change(func(next *record, b keyed.Batch) error {
		now := in.w.store.millis()
		keep := next.Retention.Success
		if status == Errored {
			keep = next.Retention.Error
		}
		next.Status, next.Failure, next.Ended, next.Due = status, failure, now, now+keep
		next.Running, next.Awaits, next.Held = false, nil, 0
		if err := in.undone(b, next); err != nil {
			return err
		}
		switch status {
		case Complete:
			in.note(b, note{Type: noteComplete})
		case Errored:
			in.note(b, note{Type: noteErrored, Failure: failure})
		case Terminated:
			in.note(b, note{Type: noteTerminated})
		}
		setValue(b, in.w.number, in.number, outputPlace, output)
		in.w.store.count(int64(len(output)) - next.OutputBytes)
		next.OutputBytes = int64(len(output))
		return nil
	})
}

// From names a step: the first one of its type and name, or the one of a count.
type From struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Count int    `json:"count"`
}

// Restart has the instance of an id begin anew: from its start, or from a step, of
// which and of all after it nothing is left. Events that no step has taken are
// lost.
func (w *Workflow) Restart(_ context.Context, id string, from *From) error {
	return w.named(id, func(in *instance) error {
		steps, err := w.store.steps(w.number, in.number)
		if err != nil {
			return err
		}
		keep := 0
		if from != nil {
			if keep = from.index(steps); keep < 0 {
				return refuse(http.StatusBadRequest, 10409, "instance.cannot_restart", "Step %q not found in execution history", from.Name)
			}
		}
		in.stop()
		return in.resize(func() error {
			return in.change(func(next *record, b keyed.Batch) error {
				in.forget(b, steps, keep)
				now := w.store.millis()
				if from == nil {
					next.Started = 0
					notes := key(rowNote, w.number, in.number)
					b.DeleteRange(notes, keyed.After(notes))
				}
				in.note(b, note{Type: noteQueued})
				next.Rollback, next.OutputBytes = nil, 0
				next.Status, next.Queued, next.Due, next.Ended, next.Held = Queued, now, now, 0, 0
				next.Running, next.Failure, next.Awaits, next.Cuts = false, nil, nil, 0
				return nil
			})
		})
	})
}

func (f *From) index(steps []*step) int {
	typ, count := f.Type, f.Count
	if typ == "" {
		typ = typeDo
	}
	if count == 0 {
		count = 1
	}
	for i, st := range steps {
		if st.Type == typ && st.Name == f.Name && st.Count == count {
			return i
		}
	}
	return -1
}

// forget deletes the steps but the first, what they have returned, the events that
// wait and the output.
func (in *instance) forget(b keyed.Batch, steps []*step, keep int) {
	w, n := in.w.number, in.number
	for _, st := range steps[keep:] {
		b.Delete(placeKey(rowStep, w, n, st.place))
		value := placeKey(rowValue, w, n, st.place)
		if st.Value >= eventPlaces {
			value = placeKey(rowValue, w, n, st.Value)
		}
		b.DeleteRange(value, keyed.After(value))
	}
	events := key(rowEvent, w, n)
	b.DeleteRange(events, keyed.After(events))
	output := placeKey(rowValue, w, n, outputPlace)
	b.DeleteRange(output, keyed.After(output))
}

// Remove deletes the instance of an id; one that runs is cut off.
func (w *Workflow) Remove(_ context.Context, id string) error {
	return w.named(id, func(in *instance) error { return in.remove() })
}

func (in *instance) remove() error {
	in.stop()
	return in.resize(in.erase)
}

func (in *instance) erase() error {
	w, n, r := in.w, in.number, in.rec
	b := w.store.db.Batch()
	defer b.Close()
	b.Delete(key(rowInstance, w.number, ^n))
	b.Delete(idKey(w.number, r.ID))
	b.Delete(statusKey(w.number, r.Status, n))
	if r.Due != 0 {
		b.Delete(key(rowDue, w.number, uint64(r.Due), n))
	}
	b.Delete(key(rowRunning, w.number, n))
	for _, letter := range instanceRows {
		prefix := key(letter, w.number, n)
		b.DeleteRange(prefix, keyed.After(prefix))
	}
	if err := b.Commit(); err != nil {
		return err
	}
	in.gone = true
	w.store.watching.wake(watched{w.number, n})
	return nil
}

package workflow

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// instance is an instance that somebody is looking at, or that runs.
type instance struct {
	w      *Workflow
	number uint64
	refs   int // guarded by w.mu

	// mu guards what follows and the instance's rows.
	mu     sync.Mutex
	quiet  *sync.Cond // told when nothing of a run is being committed
	loaded bool
	gone   bool
	rec    record
	run    *run   // nil unless one is under way
	noted  uint64 // the greatest number of a note
	// writing are the first numbers of notes on their way to the disk while the lock
	// is not held.
	writing []uint64
}

// hold returns the instance of a number, locked. Give it back with let.
func (w *Workflow) hold(number uint64) (*instance, error) {
	w.mu.Lock()
	in := w.open[number]
	if in == nil {
		in = &instance{w: w, number: number}
		in.quiet = sync.NewCond(&in.mu)
		w.open[number] = in
	}
	in.refs++
	w.mu.Unlock()
	in.mu.Lock()
	if err := in.load(); err != nil {
		in.let()
		return nil, err
	}
	return in, nil
}

// let unlocks the instance and forgets it unless somebody else holds it.
func (in *instance) let() {
	in.mu.Unlock()
	in.w.mu.Lock()
	defer in.w.mu.Unlock()
	if in.refs--; in.refs == 0 {
		delete(in.w.open, in.number)
	}
}

func (in *instance) load() error {
	if in.gone {
		return ErrNoInstance
	}
	if in.loaded {
		return nil
	}
	v, found, err := in.w.store.db.Get(key(rowInstance, in.w.number, ^in.number))
	if err != nil {
		return err
	}
	if !found {
		return ErrNoInstance
	}
	defer v.Release()
	if err := json.Unmarshal(v.Bytes, &in.rec); err != nil || in.rec.Status.code() < 0 {
		return fmt.Errorf("%w: instance %d of %s", errRow, in.number, in.w.name)
	}
	if err := in.count(); err != nil {
		return err
	}
	in.loaded = true
	return nil
}

// with calls f with an instance, locked.
func (w *Workflow) with(number uint64, f func(in *instance) error) error {
	in, err := w.hold(number)
	if err != nil {
		return err
	}
	defer in.let()
	return f(in)
}

// find returns the number of the instance with an id.
func (w *Workflow) find(id string) (uint64, error) {
	v, found, err := w.store.db.Get(idKey(w.number, id))
	if err != nil {
		return 0, err
	}
	if !found {
		return 0, ErrNoInstance
	}
	defer v.Release()
	if len(v.Bytes) != 8 {
		return 0, errRow
	}
	return binary.BigEndian.Uint64(v.Bytes), nil
}

// named calls f with the instance of an id, locked.
func (w *Workflow) named(id string, f func(in *instance) error) error {
	number, err := w.find(id)
	if err != nil {
		return err
	}
	return w.with(number, f)
}

// stage writes what the record becomes, and its indexes.
func (in *instance) stage(b keyed.Batch, next *record) {
	before := &in.rec
	w, n := in.w.number, in.number
	next.Modified, next.Noted = in.w.store.millis(), in.noted
	b.Set(key(rowInstance, w, ^n), encode(next))
	if !in.loaded || before.Status != next.Status {
		if in.loaded {
			b.Delete(statusKey(w, before.Status, n))
		}
		b.Set(statusKey(w, next.Status, n), nil)
	}
	if before.Due != next.Due {
		if before.Due != 0 {
			b.Delete(key(rowDue, w, uint64(before.Due), n))
		}
		if next.Due != 0 {
			b.Set(key(rowDue, w, uint64(next.Due), n), nil)
		}
	}
	if before.Running != next.Running {
		if next.Running {
			b.Set(key(rowRunning, w, n), nil)
		} else {
			b.Delete(key(rowRunning, w, n))
		}
	}
}

// change stores what edit makes of the record, and what else it stages.
func (in *instance) change(edit func(next *record, b keyed.Batch) error) error {
	return in.changeBy(keyed.Batch.Commit, edit)
}

func (in *instance) changeBy(commit func(keyed.Batch) error, edit func(next *record, b keyed.Batch) error) error {
	b := in.w.store.db.Batch()
	defer b.Close()
	next := in.rec
	if err := edit(&next, b); err != nil {
		return err
	}
	in.stage(b, &next)
	if err := commit(b); err != nil {
		return fmt.Errorf("change instance %s of Workflow %s: %w", next.ID, in.w.name, err)
	}
	in.rec, in.loaded = next, true
	in.w.store.watching.wake(watched{in.w.number, in.number})
	if next.Due != 0 {
		in.w.kick(next.Due)
	}
	return nil
}

// recover has the instance run again whose run the end of the program cut off.
func (in *instance) recover() error {
	return in.change(func(next *record, b keyed.Batch) error {
		next.Running = false
		switch next.Status {
		case Running, RollingBack:
			next.Due = in.w.store.millis()
		case WaitingForPause:
			next.Status, next.Held = Paused, in.w.store.millis()
			in.note(b, note{Type: notePaused})
		}
		return nil
	})
}

// stop ends the run that is under way, if there is one, once nothing of it is
// being committed.
func (in *instance) stop() {
	for in.run != nil && in.run.committing > 0 {
		in.quiet.Wait()
	}
	if in.run != nil {
		in.run.end(true)
	}
}

// InstanceStatus is how an instance is doing.
type InstanceStatus struct {
	Status Status
	// Output is what the function has returned, empty before.
	Output Value
	// Failure is why the instance failed, nil unless it has.
	Failure *Failure
}

// Status says how the instance of an id is doing.
func (w *Workflow) Status(_ context.Context, id string) (st InstanceStatus, err error) {
	err = w.named(id, func(in *instance) error {
		st.Status, st.Failure = in.rec.Status, in.rec.Failure
		if st.Status != Complete {
			return nil
		}
		st.Output, err = w.store.value(w.number, in.number, outputPlace)
		return err
	})
	return st, err
}

// SendEvent gives the instance of an id an event, which the next step takes that
// waits for one of its type. Events of an instance that has ended are kept with it.
func (w *Workflow) SendEvent(_ context.Context, id, typ string, payload Value) error {
	if len(payload) > MaxValueBytes {
		return refuse(413, 10407, "instance.event_too_large", "Payload has %d bytes, more than the maximum of %d", len(payload), MaxValueBytes)
	}
	return w.named(id, func(in *instance) error {
		if in.rec.Events >= 1<<31-1 {
			return badBody("the instance has got %d events, and no more are taken", in.rec.Events)
		}
		e := sent{Type: typ, At: w.store.millis(), Bytes: int64(len(payload)), place: eventPlaces + in.rec.Events}
		if err := w.store.grow(eventBytes + e.Bytes); err != nil {
			return err
		}
		err := in.change(func(next *record, b keyed.Batch) error {
			next.Events++
			b.Set(placeKey(rowEvent, w.number, in.number, e.place), encode(e))
			setValue(b, w.number, in.number, e.place, payload)
			if next.Status == Waiting && slices.Contains(next.Awaits, typ) {
				next.Due = w.store.millis()
			}
			return nil
		})
		if err == nil && in.run != nil {
			in.run.arrived(e)
		}
		return err
	})
}

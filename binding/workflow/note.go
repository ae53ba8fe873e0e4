package workflow

import (
	"encoding/binary"
	"encoding/json"
	"sync"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// note is something that has happened to an instance, as subscribers are told. It
// is stored with what it tells of.
type note struct {
	Type string `json:"type"`
	At   int64  `json:"at"`
	// Step is its name with its count, Place where it is stored.
	Step  string `json:"step,omitempty"`
	Place uint32 `json:"place,omitempty"`

	Attempt  int      `json:"attempt,omitempty"`
	Delay    *int64   `json:"delay,omitempty"`    // before the next attempt, ms
	Duration *int64   `json:"duration,omitempty"` // of a sleep, ms
	Event    string   `json:"event,omitempty"`
	Failure  *Failure `json:"failure,omitempty"`
}

// The types of notes, but for those of attempts and steps that are undone, which
// have undone in front.
//
// Source: https://developers.cloudflare.com/workflows/build/subscribe-to-instance-events/
const (
	noteQueued     = "workflow_queued"
	noteStarted    = "workflow_started"
	noteRunning    = "workflow_running"
	notePaused     = "workflow_paused"
	notePausing    = "workflow_waiting_for_pause"
	noteWaiting    = "workflow_waiting"
	noteComplete   = "workflow_completed"
	noteErrored    = "workflow_errored"
	noteTerminated = "workflow_terminated"

	noteStep         = "step_started"
	noteStepDone     = "step_completed"
	noteStepFailed   = "step_errored"
	noteTry          = "attempt_started"
	noteTryDone      = "attempt_completed"
	noteTryFailed    = "attempt_errored"
	noteSleep        = "sleep_started"
	noteSleepDone    = "sleep_completed"
	noteWait         = "wait_started"
	noteWaitDone     = "wait_completed"
	noteWaitTimedOut = "wait_timed_out"

	noteUndo       = "rollback_started"
	noteUndoDone   = "rollback_completed"
	noteUndoFailed = "rollback_errored"
	undone         = "rollback_"
)

// noteTypes are all types.
var noteTypes = map[string]bool{
	noteQueued: true, noteStarted: true, noteRunning: true, notePaused: true, notePausing: true, noteWaiting: true,
	noteComplete: true, noteErrored: true, noteTerminated: true,
	noteStep: true, noteStepDone: true, noteStepFailed: true, noteTry: true, noteTryDone: true, noteTryFailed: true,
	noteSleep: true, noteSleepDone: true, noteWait: true, noteWaitDone: true, noteWaitTimedOut: true,
	noteUndo: true, noteUndoDone: true, noteUndoFailed: true,
	undone + noteStep: true, undone + noteStepDone: true, undone + noteStepFailed: true,
	undone + noteTry: true, undone + noteTryDone: true, undone + noteTryFailed: true,
}

// last reports whether no note follows one of the type until the instance is
// restarted.
func last(typ string) bool { return typ == noteComplete || typ == noteErrored || typ == noteTerminated }

func noteKey(workflow, instance, number uint64) []byte {
	return key(rowNote, workflow, instance, number)
}

// note stages a note. Locked.
func (in *instance) note(b keyed.Batch, n note) {
	n.At = in.w.store.millis()
	in.noted++
	b.Set(noteKey(in.w.number, in.number, in.noted), encode(n))
}

// of is a note about a step.
func (st *step) of(typ string) note {
	if st.Type == typeUndo {
		typ = undone + typ
	}
	return note{Type: typ, Step: stepName{st.Name, st.Count}.String(), Place: st.place}
}

// tried is a note about its last attempt.
func (st *step) tried(typ string) note {
	n := st.of(typ)
	n.Attempt = st.Attempts
	return n
}

// count finds the greatest number of a note.
func (in *instance) count() error {
	prefix := key(rowNote, in.w.number, in.number)
	in.noted = in.rec.Noted
	return in.w.store.db.Scan(noteKey(in.w.number, in.number, in.noted+1), keyed.After(prefix), func(k, _ []byte) bool {
		in.noted = binary.BigEndian.Uint64(k[len(prefix):])
		return true
	})
}

// numbered is a note that is stored.
type numbered struct {
	number uint64
	note
}

// notes lists up to limit notes after a number. Those that are on their way to the
// disk, and what comes after them, are not among them. Locked.
func (in *instance) notes(after uint64, limit int) (list []numbered, err error) {
	upper := keyed.After(key(rowNote, in.w.number, in.number))
	if len(in.writing) > 0 {
		upper = noteKey(in.w.number, in.number, in.writing[0])
	}
	var bad error
	err = in.w.store.db.Scan(noteKey(in.w.number, in.number, after+1), upper, func(k, row []byte) bool {
		n := numbered{number: binary.BigEndian.Uint64(k[len(k)-8:])}
		if bad = json.Unmarshal(row, &n.note); bad != nil {
			return false
		}
		list = append(list, n)
		return len(list) < limit
	})
	if err == nil {
		err = bad
	}
	return list, err
}

// watchers are those who wait for notes of instances.
type watchers struct {
	mu sync.Mutex
	of map[watched]*watch
}

type watched struct{ workflow, instance uint64 }

type watch struct {
	ch   chan struct{}
	refs int
}

// watch returns a channel that is closed when the instance has a note, or is gone,
// and what ends the watch.
func (w *watchers) watch(id watched) (ch <-chan struct{}, end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.of[id]
	if x == nil {
		x = &watch{ch: make(chan struct{})}
		w.of[id] = x
	}
	x.refs++
	return x.ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if x.refs--; x.refs == 0 && w.of[id] == x {
			delete(w.of, id)
		}
	}
}

// wake tells them that something of an instance is stored.
func (w *watchers) wake(id watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := w.of[id]; x != nil {
		close(x.ch)
		delete(w.of, id)
	}
}

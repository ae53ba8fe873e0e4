package workflow

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Rows in the keyed store, each after keyed.SpaceWorkflow and a letter. Numbers
// are big-endian: a Workflow's and an instance's have 8 bytes, and instances count
// from 1 within their Workflow. Where the number of an instance is inverted, the
// newest comes first.
//
//	w name                               a Workflow, JSON (row)
//	n                                    the greatest number of a Workflow so far, JSON
//	i workflow ^instance                 an instance, JSON (record)
//	d workflow id                        the number of the instance with an id
//	s workflow status ^instance          nothing: the instances in a status
//	t workflow ms instance               nothing: when to look at an instance
//	r workflow instance                  nothing: an instance that is run now
//	p workflow instance place            a step, JSON; places count from 1 (4 bytes)
//	e workflow instance place            an event that no step has taken, JSON
//	v workflow instance place chunk      a part of a value; 4 and 2 bytes
//	l workflow instance number           something that has happened, JSON (note)
//
// The place of a value is 0 for the parameters, that of its step for what one has
// returned, that of its event for a payload, and outputPlace for what the instance
// has returned.
const (
	rowWorkflow = 'w'
	rowNumber   = 'n'
	rowInstance = 'i'
	rowID       = 'd'
	rowStatus   = 's'
	rowDue      = 't'
	rowRunning  = 'r'
	rowStep     = 'p'
	rowEvent    = 'e'
	rowValue    = 'v'
	rowNote     = 'l'
)

// instanceRows are the letters of what belongs to an instance beside its indexes.
var instanceRows = []byte{rowStep, rowEvent, rowValue, rowNote}

const (
	paramsPlace = 0
	outputPlace = 1<<31 - 1
	eventPlaces = 1 << 31 // and what follows
)

// chunkBytes is the size of the parts in which values are stored.
const chunkBytes = 60 << 10

func key(letter byte, numbers ...uint64) []byte {
	k := make([]byte, 2, 2+8*len(numbers)+16)
	k[0], k[1] = keyed.SpaceWorkflow, letter
	for _, n := range numbers {
		k = binary.BigEndian.AppendUint64(k, n)
	}
	return k
}

func placeKey(letter byte, workflow, instance uint64, place uint32) []byte {
	return binary.BigEndian.AppendUint32(key(letter, workflow, instance), place)
}

func statusKey(workflow uint64, s Status, instance uint64) []byte {
	return binary.BigEndian.AppendUint64(append(key(rowStatus, workflow), byte(s.code())), ^instance)
}

func idKey(workflow uint64, id string) []byte { return append(key(rowID, workflow), id...) }

// record is what is stored of an instance. Times are in ms since 1970, 0 for
// never.
type record struct {
	ID       string `json:"id"`
	Status   Status `json:"status"`
	Created  int64  `json:"created"`
	Modified int64  `json:"modified"`
	// Queued is when the instance was created or restarted, Started when its first
	// run after that began, Ended when it came to an end.
	Queued  int64    `json:"queued"`
	Started int64    `json:"started,omitempty"`
	Ended   int64    `json:"ended,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
	// Trigger says who created it: "binding", "api" or "cron", which is the Workflow's
	// schedule Cron for a minute, in ms.
	Trigger   string `json:"trigger"`
	Cron      string `json:"cron,omitempty"`
	Scheduled int64  `json:"scheduled,omitempty"`
	// Version is that of the Workflow that it was created with.
	Version string `json:"version"`
	// Retention is how long it is kept once it has ended, in ms.
	Retention retention `json:"retention"`
	// Due is when somebody has to look at it: to run it, or to delete it.
	Due int64 `json:"due,omitempty"`
	// Running: a run of it has begun and did not end, at least not in order.
	Running bool `json:"running,omitempty"`
	// Awaits are the types of the events for which it wakes before Due.
	Awaits []string `json:"awaits,omitempty"`
	// Held is when it was paused.
	Held int64 `json:"held,omitempty"`
	// Cuts counts the runs in a row that something cut off before any step was
	// done.
	Cuts int `json:"cuts,omitempty"`
	// Events counts those that were sent to it.
	Events uint32 `json:"events,omitempty"`
	// Rollback is nil unless its steps are, or were, undone.
	Rollback *rollback `json:"rollback,omitempty"`
	// Bytes are those of its parameters, OutputBytes of its output.
	Bytes       int64 `json:"bytes,omitempty"`
	OutputBytes int64 `json:"outputBytes,omitempty"`
	// Noted is the greatest number of a note when this was stored.
	Noted uint64 `json:"noted,omitempty"`
}

// rollback is what becomes of the steps of an instance that has failed, or is to be
// terminated.
type rollback struct {
	// Why it is done: what the functions are told.
	Why *Failure `json:"why"`
	// Into is the status that follows: Errored or Terminated.
	Into Status `json:"into"`
	// Outcome is "complete", or "failed" with the Failure of a step's, once it is
	// over.
	Outcome string   `json:"outcome,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
}

// as is a status of an instance that goes on: it keeps that of one whose steps are
// undone.
func (r *record) as(s Status) Status {
	if r.Rollback != nil {
		return RollingBack
	}
	return s
}

type retention struct {
	Success int64 `json:"success"`
	Error   int64 `json:"error"`
}

// The types of steps.
const (
	typeDo    = "do"
	typeSleep = "sleep"
	typeWait  = "waitForEvent"
	// typeUndo is the rollback of the step of type do that has the same name and
	// count.
	typeUndo = "rollback"
)

// step is what is stored of a step.
type step struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	Count int    `json:"count"`
	Start int64  `json:"start"`
	End   int64  `json:"end,omitempty"`
	// Done: it has returned, and Value is the place of what it returned. With a
	// Failure it has failed for good.
	Done    bool     `json:"done,omitempty"`
	Value   uint32   `json:"value,omitempty"`
	Bytes   int64    `json:"bytes,omitempty"`
	Failure *Failure `json:"failure,omitempty"`

	// Of a step of type do or rollback. Attempts counts them; Tries are the last of them.
	Attempts int             `json:"attempts,omitempty"`
	Tries    []try           `json:"tries,omitempty"`
	RetryAt  int64           `json:"retryAt,omitempty"`
	Config   json.RawMessage `json:"config,omitempty"`
	Hidden   bool            `json:"hidden,omitempty"`
	// Rollback: the Worker has a function that undoes it.
	Rollback bool `json:"rollback,omitempty"`
	// Stream: it has returned a stream of Bytes bytes, which Value holds as they are.
	Stream bool `json:"stream,omitempty"`

	// Of the others. Until is the end of the sleep, or of the patience.
	Until   int64  `json:"until,omitempty"`
	Event   string `json:"event,omitempty"`
	Timeout int64  `json:"timeout,omitempty"`
	Sent    int64  `json:"sent,omitempty"`

	place   uint32
	policy  policy
	running bool // an attempt is in the Worker's hands
}

// try is an attempt of a step.
type try struct {
	Start   int64    `json:"start"`
	End     int64    `json:"end,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
}

// maxTries is how many attempts of a step are remembered.
const maxTries = 100

// sent is an event that waits to be taken.
type sent struct {
	Type  string `json:"type"`
	At    int64  `json:"at"`
	Bytes int64  `json:"bytes,omitempty"` // of its payload
	place uint32
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("workflow: a row does not marshal: %v", err)) // the types above all do
	}
	return data
}

// setValue stages a value.
func setValue(b keyed.Batch, workflow, instance uint64, place uint32, v Value) {
	k := placeKey(rowValue, workflow, instance, place)
	for chunk := uint16(0); len(v) > 0; chunk++ {
		n := min(len(v), chunkBytes)
		b.Set(binary.BigEndian.AppendUint16(k[:len(k):len(k)], chunk), v[:n])
		v = v[n:]
	}
}

// value reads a value; one that is not there is empty.
func (s *Store) value(workflow, instance uint64, place uint32) (v Value, err error) {
	k := placeKey(rowValue, workflow, instance, place)
	err = s.db.Scan(k, keyed.After(k), func(_, part []byte) bool {
		v = append(v, part...)
		return true
	})
	return v, err
}

// steps reads the steps of an instance, in their order.
func (s *Store) steps(workflow, instance uint64) (list []*step, err error) {
	err = scanPlaces(s.db, key(rowStep, workflow, instance), func(place uint32, row []byte) error {
		st := &step{place: place}
		list = append(list, st)
		return json.Unmarshal(row, st)
	})
	return list, err
}

// events reads the events that wait, in their order.
func (s *Store) events(workflow, instance uint64) (list []sent, err error) {
	err = scanPlaces(s.db, key(rowEvent, workflow, instance), func(place uint32, row []byte) error {
		e := sent{place: place}
		err := json.Unmarshal(row, &e)
		list = append(list, e)
		return err
	})
	return list, err
}

// errRow is a row that cannot be read.
var errRow = errors.New("damaged row of a Workflow")

func scanPlaces(db *keyed.DB, prefix []byte, f func(place uint32, row []byte) error) error {
	var bad error
	err := db.Scan(prefix, keyed.After(prefix), func(k, row []byte) bool {
		if len(k) != len(prefix)+4 {
			bad = errRow
		} else if err := f(binary.BigEndian.Uint32(k[len(prefix):]), row); err != nil {
			bad = fmt.Errorf("%w: %w", errRow, err)
		}
		return bad == nil
	})
	return errors.Join(err, bad)
}

// at is a time as the API shows it; nil for never.
func at(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

package cron

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// MaxRuns is how many runs of a Worker are kept.
const MaxRuns = 100

// Run is what became of a trigger that fired.
type Run struct {
	Worker string `json:"worker"`
	Cron   string `json:"cron"`
	// Time is the minute that it fired for.
	Time time.Time `json:"scheduledTime"`
	// Outcome is as in tail events: "ok", "exception", …. "notBegun" is that of a
	// Worker that could not be started. Empty: it runs, or the server was killed.
	Outcome string `json:"outcome"`
	// Took is how long it ran, in seconds.
	Took float64 `json:"took"`
	// Error says why it has not begun, or broke off.
	Error string `json:"error,omitempty"`
}

// History keeps the last runs of each Worker, and that each minute has no more
// than one of a trigger: also when the server is killed and started again within
// the minute, or the clock is set back. It is safe for concurrent use, except
// that one goroutine at a time may call Begin.
//
// A row is 'c', the Worker, 0, the minute, the expression; its value is JSON.
type History struct{ db *keyed.DB }

// NewHistory returns the history kept in db.
func NewHistory(db *keyed.DB) *History { return &History{db} }

func prefix(worker string) []byte {
	return append(append([]byte{keyed.SpaceCron}, worker...), 0)
}

func row(r Run) []byte {
	return append(binary.BigEndian.AppendUint64(prefix(r.Worker), uint64(r.Time.Unix()/60)), r.Cron...)
}

// Begin notes, durably, that a trigger fires, and deletes what is too old. It
// reports false if the trigger has fired for that minute already.
func (h *History) Begin(r Run) (first bool, err error) {
	key := row(r)
	v, found, err := h.db.Get(key)
	if err != nil {
		return false, fmt.Errorf("read cron history: %w", err)
	}
	if found {
		v.Release()
		return false, nil
	}
	var keys [][]byte
	p := prefix(r.Worker)
	err = h.db.Scan(p, keyed.After(p), func(key, _ []byte) bool {
		keys = append(keys, append([]byte{}, key...))
		return true
	})
	if err != nil {
		return false, fmt.Errorf("read cron history: %w", err)
	}
	b := h.db.Batch()
	defer b.Close()
	for i := range max(len(keys)-MaxRuns+1, 0) {
		b.Delete(keys[i])
	}
	value, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	b.Set(key, value)
	if err := b.Commit(); err != nil {
		return false, fmt.Errorf("write cron history: %w", err)
	}
	return true, nil
}

// End notes how a run that has begun ended.
func (h *History) End(r Run) error {
	value, err := json.Marshal(r)
	if err == nil {
		err = h.db.Set(row(r), value)
	}
	if err != nil {
		return fmt.Errorf("write cron history: %w", err)
	}
	return nil
}

// Runs returns the runs of a Worker, or of all Workers if worker is empty: by
// Worker, the latest first.
func (h *History) Runs(worker string) ([]Run, error) {
	p := []byte{keyed.SpaceCron}
	if worker != "" {
		p = prefix(worker)
	}
	all := []Run{}
	var bad error
	err := h.db.Scan(p, keyed.After(p), func(_, value []byte) bool {
		var r Run
		if bad = json.Unmarshal(value, &r); bad != nil {
			return false
		}
		all = append(all, r)
		return true
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return nil, fmt.Errorf("read cron history: %w", err)
	}
	// Rows of a Worker are in the order of time.
	for from := 0; from < len(all); {
		to := from
		for to < len(all) && all[to].Worker == all[from].Worker {
			to++
		}
		for i, j := from, to-1; i < j; i, j = i+1, j-1 {
			all[i], all[j] = all[j], all[i]
		}
		from = to
	}
	return all, nil
}

// Sweep deletes the runs of Workers that do not exist any more, and returns their
// number.
func (h *History) Sweep(exists func(worker string) bool) (deleted int, err error) {
	all, err := h.Runs("")
	if err != nil {
		return 0, err
	}
	b := h.db.Batch()
	defer b.Close()
	for _, r := range all {
		if !exists(r.Worker) {
			b.Delete(row(r))
			deleted++
		}
	}
	if deleted == 0 {
		return 0, nil
	}
	if err := b.Commit(); err != nil {
		return 0, fmt.Errorf("sweep cron history: %w", err)
	}
	return deleted, nil
}

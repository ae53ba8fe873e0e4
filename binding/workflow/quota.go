package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// What rows are taken to have, in bytes, beside the values that are counted as they
// are: an instance's with its indexes, a step's with what is noted of it, an event's.
const (
	instanceBytes = 1024
	stepBytes     = 512
	eventBytes    = 256
)

// grow counts bytes that come to the store, or refuses them.
func (s *Store) grow(bytes int64) error {
	if s.quota == 0 {
		return nil
	}
	if s.used.Add(bytes) > s.quota && bytes > 0 {
		s.used.Add(-bytes)
		return refuse(http.StatusInsufficientStorage, codeBody, "storage.limit_exceeded", "Storage limit exceeded: all Workflows together may store %d bytes.", s.quota)
	}
	return nil
}

// count counts bytes that come, however many there are, or go.
func (s *Store) count(bytes int64) {
	if s.quota > 0 {
		s.used.Add(bytes)
	}
}

// bytes is what a step is counted as.
func (st *step) bytes() int64 { return stepBytes + st.Bytes }

// bytes is what the instance is counted as beside its steps and events.
func (r *record) bytes() int64 { return instanceBytes + r.Bytes + r.OutputBytes }

// size is what an instance is counted as. Locked.
func (in *instance) size() (bytes int64, err error) {
	bytes = in.rec.bytes()
	steps, err := in.w.store.steps(in.w.number, in.number)
	if err != nil {
		return 0, err
	}
	events, err := in.w.store.events(in.w.number, in.number)
	for _, st := range steps {
		bytes += st.bytes()
	}
	for _, e := range events {
		bytes += eventBytes + e.Bytes
	}
	return bytes, err
}

// resize counts what edit does to the size of an instance. Locked.
func (in *instance) resize(edit func() error) error {
	if in.w.store.quota == 0 {
		return edit()
	}
	before, err := in.size()
	if err == nil {
		err = edit()
	}
	if err != nil {
		return err
	}
	after, err := int64(0), error(nil)
	if !in.gone {
		after, err = in.size()
	}
	in.w.store.count(after - before)
	return err
}

// Measure counts what all Workflows store, in bytes.
func (s *Store) Measure(ctx context.Context) (bytes int64, err error) {
	for letter, of := range map[byte]func(row []byte) (int64, error){
		rowInstance: func(row []byte) (int64, error) {
			var r record
			err := json.Unmarshal(row, &r)
			return r.bytes(), err
		},
		rowStep: func(row []byte) (int64, error) {
			var st step
			err := json.Unmarshal(row, &st)
			return st.bytes(), err
		},
		rowEvent: func(row []byte) (int64, error) {
			var e sent
			err := json.Unmarshal(row, &e)
			return eventBytes + e.Bytes, err
		},
	} {
		prefix := key(letter)
		var bad error
		err := s.db.Scan(prefix, keyed.After(prefix), func(_, row []byte) bool {
			var n int64
			if n, bad = of(row); bad == nil {
				bad = ctx.Err()
			}
			bytes += n
			return bad == nil
		})
		if err = errors.Join(err, bad); err != nil {
			return 0, fmt.Errorf("measure Workflows: %w", err)
		}
	}
	return bytes, nil
}

// recount measures anew, where there is a quota.
func (s *Store) recount(ctx context.Context) error {
	if s.quota == 0 {
		return nil
	}
	before := s.used.Load()
	measured, err := s.Measure(ctx)
	if err == nil {
		s.used.Add(measured - before)
	}
	return err
}

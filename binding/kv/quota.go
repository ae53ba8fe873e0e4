package kv

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// quota bounds what all namespaces hold: the bytes of keys, values and metadata.
// They are counted as values come and go, and measured at the start and with
// every sweep. In between the count is off by what puts of one key at the same
// time replaced twice, and by namespaces that were deleted.
type quota struct {
	max  int64 // 0: nothing is counted
	used atomic.Int64
}

// add counts bytes that come, or go if there are fewer than none, and refuses
// those that do not fit.
func (q *quota) add(bytes int64) error {
	if q.max == 0 {
		return nil
	}
	if used := q.used.Add(bytes); bytes > 0 && used > q.max {
		q.used.Add(-bytes)
		return refuse(http.StatusRequestEntityTooLarge, "KV storage limit exceeded: the account may store %d bytes", q.max)
	}
	return nil
}

// full refuses a value before it is read, if there is no room for any.
func (q *quota) full() error {
	if q.max > 0 && q.used.Load() >= q.max {
		return refuse(http.StatusRequestEntityTooLarge, "KV storage limit exceeded: the account may store %d bytes", q.max)
	}
	return nil
}

// rowBytes is what a row of a value counts for.
func rowBytes(row, rec []byte) int64 {
	r, err := decodeRecord(rec)
	if err != nil {
		return 0 // nobody can read it
	}
	return int64(len(row)-len(valueRow(nil, 0, ""))) + int64(len(r.metadata)) + r.size
}

// Measure counts what all namespaces hold, in bytes of keys, values and
// metadata. Puts go on meanwhile.
func (s *Store) Measure(ctx context.Context) (bytes int64, err error) {
	before := s.quota.used.Load()
	prefix := row(rowValue)
	err = s.db.Scan(prefix, keyed.After(prefix), func(k, v []byte) bool {
		bytes += rowBytes(k, v)
		return ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("measure KV: %w", err)
	}
	s.quota.used.Add(bytes - before)
	return bytes, nil
}

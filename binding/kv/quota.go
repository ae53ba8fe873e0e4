package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// quota bounds what all namespaces hold and what one does: the bytes of keys,
// values and metadata. They are counted as values come and go, and measured at
// the start and with every sweep. In between the counts are off by what puts of
// one key at the same time replaced twice, and the sum by namespaces that were
// deleted.
type quota struct {
	max  int64 // of all namespaces; 0: no bound
	each int64 // of one; 0: no bound

	used       atomic.Int64
	namespaces sync.Map // the part of used of each: number to *atomic.Int64

	measuring sync.Mutex
}

// counts reports whether there is any bound. Without one nothing is counted.
func (q *quota) counts() bool { return q.max > 0 || q.each > 0 }

// of is what the namespace with that number has.
func (q *quota) of(number uint64) *atomic.Int64 {
	v, ok := q.namespaces.Load(number)
	if !ok {
		v, _ = q.namespaces.LoadOrStore(number, new(atomic.Int64))
	}
	return v.(*atomic.Int64)
}

// count notes bytes that have come to a namespace, or gone if there are fewer
// than none. It returns what all namespaces and this one have then.
func (q *quota) count(number uint64, bytes int64) (all, one int64) {
	return q.used.Add(bytes), q.of(number).Add(bytes)
}

// add counts bytes, and refuses those that do not fit.
func (q *quota) add(number uint64, bytes int64) error {
	all, one := q.count(number, bytes)
	if bytes <= 0 {
		return nil
	}
	err := q.refuse(all, one)
	if err != nil {
		q.count(number, -bytes)
	}
	return err
}

// full refuses what comes to a namespace that has room for nothing.
func (q *quota) full(number uint64) error {
	if !q.counts() {
		return nil
	}
	return q.refuse(q.used.Load()+1, q.of(number).Load()+1)
}

func (q *quota) refuse(all, one int64) error {
	switch {
	case q.max > 0 && all > q.max:
		return refuse(http.StatusRequestEntityTooLarge, "KV storage limit exceeded: the account may store %d bytes", q.max)
	case q.each > 0 && one > q.each:
		return refuse(http.StatusRequestEntityTooLarge, "KV storage limit exceeded: a namespace may store %d bytes", q.each)
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
	s.quota.measuring.Lock()
	defer s.quota.measuring.Unlock()
	wrong := map[uint64]int64{} // what is there beyond what is counted
	s.quota.namespaces.Range(func(number, counted any) bool {
		wrong[number.(uint64)] = -counted.(*atomic.Int64).Load()
		return true
	})
	before := s.quota.used.Load()
	prefix := row(rowValue)
	err = s.db.Scan(prefix, keyed.After(prefix), func(k, v []byte) bool {
		n := rowBytes(k, v)
		bytes += n
		wrong[binary.BigEndian.Uint64(k[len(prefix):])] += n
		return ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("measure KV: %w", err)
	}
	s.quota.used.Add(bytes - before)
	for number, n := range wrong {
		if n != 0 {
			s.quota.of(number).Add(n)
		}
	}
	return bytes, nil
}

// Usage is what a namespace holds. Name is its title.
type Usage struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// Largest is the namespace that holds most; the zero value if there is none.
// Without a quota it reads all keys to find out.
func (s *Store) Largest(ctx context.Context) (largest Usage, err error) {
	if !s.quota.counts() {
		if _, err := s.Measure(ctx); err != nil {
			return largest, err
		}
	}
	list, err := s.Namespaces(ctx)
	for _, info := range list {
		n, err := s.Namespace(info.ID)
		if errors.Is(err, ErrNamespaceNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return largest, err
		}
		if bytes := s.quota.of(n.number).Load(); bytes > largest.Bytes {
			largest = Usage{Name: info.Title, Bytes: bytes}
		}
	}
	return largest, err
}

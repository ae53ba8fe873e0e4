package d1

import (
	"context"
	"errors"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// The memory of one call, in bytes. Nearly all calls need little; one that
// needs more is started again with all that a call may have, which is safe
// because nothing of it has been committed.
const (
	// littleHeap bounds SQLite's memory at first, cache and statements of the
	// connection included.
	littleHeap = 8 << 20
	// mostHeap bounds it the second time.
	mostHeap = 64 << 20
	// outputBytes is what a call has in memory of its results: up to spillBytes,
	// and one row, whose blobs are four times as long in JSON.
	outputBytes = spillBytes + 4*MaxValue
	// smallBody is a body that is not counted beside the rest.
	smallBody = 1 << 20
)

// demand is on whose behalf a call needs memory, and how long its request is.
type demand struct {
	tenant string
	body   int64
}

// heaps are the bounds of SQLite's memory to be tried in turn. A call with a
// long body gets everything at once: it could not give the body back.
func (d demand) heaps() []int64 {
	if d.body > smallBody {
		return []int64{mostHeap}
	}
	return []int64{littleHeap, mostHeap}
}

// bytes is what a call needs in all. A body is there as text and as parameters.
func (d demand) bytes(heap int64) int64 {
	if d.body <= smallBody {
		return heap + outputBytes
	}
	return heap + outputBytes + 3*d.body
}

// withMemory calls f with each bound of SQLite's memory until one suffices,
// while the memory is lent. f begins anew each time.
func (s *Store) withMemory(ctx context.Context, of demand, f func(heap int64) error) (err error) {
	for _, heap := range of.heaps() {
		lease, full := s.opts.Memory.Take(ctx, of.tenant, of.bytes(heap))
		if full != nil {
			return translate(full)
		}
		err = f(heap)
		lease.Release()
		if !errors.Is(err, sqlite.ErrMemory) {
			break
		}
	}
	return translate(err)
}

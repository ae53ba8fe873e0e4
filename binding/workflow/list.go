package workflow

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Filter says which instances are listed.
type Filter struct {
	// Status, unless empty, is that of the instances.
	Status Status
	// From and To, unless 0, bound when they were created, in ms since 1970.
	From, To int64
	// After, unless 0, is the number of an instance: only older ones are listed.
	After uint64
	// Skip is how many are left out, Limit how many are listed at most.
	Skip, Limit int
}

// listed is an instance in a list.
type listed struct {
	number uint64
	record
}

// list lists instances, the newest first, and says whether there are more.
func (w *Workflow) list(ctx context.Context, f Filter) (list []listed, more bool, err error) {
	prefix := key(rowInstance, w.number)
	if f.Status != "" {
		prefix = append(key(rowStatus, w.number), byte(f.Status.code()))
	}
	lower := prefix
	if f.After != 0 {
		lower = binary.BigEndian.AppendUint64(slices.Clone(prefix), ^f.After+1)
	}
	var bad error
	err = w.store.db.Scan(lower, keyed.After(prefix), func(k, row []byte) bool {
		if bad = ctx.Err(); bad != nil {
			return false
		}
		x := listed{number: ^binary.BigEndian.Uint64(k[len(prefix):])}
		if f.Status != "" {
			v, found, err := w.store.db.Get(key(rowInstance, w.number, ^x.number))
			if bad = err; bad != nil || !found {
				return bad == nil
			}
			bad = json.Unmarshal(v.Bytes, &x.record)
			v.Release()
		} else {
			bad = json.Unmarshal(row, &x.record)
		}
		if bad != nil {
			return false
		}
		switch {
		case f.From != 0 && x.Created < f.From || f.To != 0 && x.Created > f.To:
		case f.Skip > 0:
			f.Skip--
		case len(list) == f.Limit:
			more = true
			return false
		default:
			list = append(list, x)
		}
		return true
	})
	return list, more, errors.Join(err, bad)
}

// counts is how many instances are in each status.
func (w *Workflow) counts(ctx context.Context) (map[Status]int, error) {
	counts := map[Status]int{}
	for _, s := range statuses {
		counts[s] = 0
	}
	prefix := key(rowStatus, w.number)
	err := w.store.db.Scan(prefix, keyed.After(prefix), func(k, _ []byte) bool {
		if code := int(k[len(prefix)]); code < len(statuses) {
			counts[statuses[code]]++
		}
		return ctx.Err() == nil
	})
	return counts, errors.Join(err, ctx.Err())
}

// terminators is how many instances are terminated at once.
const terminators = 32

// TerminateAll terminates the instances that have not ended: those in a status, or
// all. It returns when that is done; false: somebody else is at it.
func (w *Workflow) TerminateAll(ctx context.Context, status Status) (bool, error) {
	if !w.terminating.CompareAndSwap(false, true) {
		return false, nil
	}
	defer w.terminating.Store(false)
	numbers := make(chan uint64)
	failed := make(chan error, terminators)
	var group sync.WaitGroup
	for range terminators {
		group.Go(func() {
			for n := range numbers {
				err := w.with(n, func(in *instance) error {
					if in.rec.Status.ended() || status != "" && in.rec.Status != status {
						return nil
					}
					in.stop()
					return in.finish(Terminated, nil, nil)
				})
				if err != nil && !errors.Is(err, ErrNoInstance) {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	err := w.alive(ctx, status, func(n uint64) { numbers <- n })
	close(numbers)
	group.Wait()
	close(failed)
	return true, errors.Join(err, <-failed)
}

// alive calls f with the instances that have not ended.
func (w *Workflow) alive(ctx context.Context, status Status, f func(number uint64)) error {
	for _, s := range statuses {
		if s.ended() || status != "" && s != status {
			continue
		}
		prefix := append(key(rowStatus, w.number), byte(s.code()))
		err := w.store.db.Scan(prefix, keyed.After(prefix), func(k, _ []byte) bool {
			f(^binary.BigEndian.Uint64(k[len(prefix):]))
			return ctx.Err() == nil
		})
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

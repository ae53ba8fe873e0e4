// Package budget divides memory among many calls. There is a total for all of
// them and a share for each tenant, so a tenant at its share keeps no other out.
//
// # Promises
//
//   - What is lent at once never exceeds the total, nor to one tenant its share.
//   - Who waits is served in the order of arrival, but never waits behind a
//     tenant that is at its share.
//   - Waiting ends: by a lease, the caller's context, or ErrFull after the
//     budget's patience.
//
// A call that holds a lease must not wait for another one; two of them could
// wait for each other. It gives the first one back before.
package budget

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// ErrFull says that the memory asked for did not become free in time.
var ErrFull = errors.New("too much memory is in use by calls like this one")

// Budget is memory to be lent. It is safe for concurrent use. Nil lends without
// bound.
type Budget struct {
	total, share int64
	patience     time.Duration

	mu      sync.Mutex
	used    int64
	peak    int64
	held    map[string]int64 // by tenant
	waiting []*waiter
}

type waiter struct {
	tenant string
	bytes  int64
	ready  chan struct{} // closed when it has been lent
}

// New makes a budget of total bytes, of which one tenant has at most share at
// once. patience is how long a call waits. All are positive, and share is at
// most total.
func New(total, share int64, patience time.Duration) *Budget {
	return &Budget{total: total, share: min(share, total), patience: patience, held: map[string]int64{}}
}

// Total is the memory of all calls together; that of nil has no bound.
func (b *Budget) Total() int64 {
	if b == nil {
		return math.MaxInt64
	}
	return b.total
}

// Lease is memory that was lent. Release it, once. The zero value is of nothing.
type Lease struct {
	b      *Budget
	tenant string
	bytes  int64
}

// Bytes is how much was lent: what was asked for, or all of a share that is less.
func (l *Lease) Bytes() int64 { return l.bytes }

// Take lends bytes to a tenant and waits until they are free. Who asks for more
// than a share gets the share, which is to be all that it uses. The error is
// ErrFull or the context's.
func (b *Budget) Take(ctx context.Context, tenant string, bytes int64) (*Lease, error) {
	if b == nil {
		return &Lease{bytes: bytes}, nil
	}
	l := &Lease{b: b, tenant: tenant, bytes: min(bytes, b.share)}
	b.mu.Lock()
	if !b.behind(tenant) && b.fits(tenant, l.bytes) {
		b.lend(tenant, l.bytes)
		b.mu.Unlock()
		return l, nil
	}
	w := &waiter{tenant: tenant, bytes: l.bytes, ready: make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()

	timer := time.NewTimer(b.patience)
	defer timer.Stop()
	var err error
	select {
	case <-w.ready:
		return l, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = fmt.Errorf("%w: waited %v for %d KiB", ErrFull, b.patience, l.bytes>>10)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, w); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
		b.serve() // who was behind it may fit
		return nil, err
	}
	return l, nil // it was lent in this moment
}

// Release gives the memory back.
func (l *Lease) Release() {
	b := l.b
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= l.bytes
	if b.held[l.tenant] -= l.bytes; b.held[l.tenant] == 0 {
		delete(b.held, l.tenant)
	}
	b.serve()
}

// Stats is what a budget has lent.
type Stats struct {
	// Used is what is lent, Peak the most that ever was, in bytes.
	Used, Peak int64
	// Waiting is how many calls wait.
	Waiting int
}

// Stats tells what is lent at this moment.
func (b *Budget) Stats() Stats {
	if b == nil {
		return Stats{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{Used: b.used, Peak: b.peak, Waiting: len(b.waiting)}
}

// serve lends to those who wait. Whoever does not fit keeps later ones out,
// unless it waits for its own tenant only. b.mu is held.
func (b *Budget) serve() {
	room := b.total - b.used
	b.waiting = slices.DeleteFunc(b.waiting, func(w *waiter) bool {
		if b.held[w.tenant]+w.bytes > b.share {
			return false
		}
		if w.bytes > room {
			room = math.MinInt64 // in the order of arrival
			return false
		}
		room -= w.bytes
		b.lend(w.tenant, w.bytes)
		close(w.ready)
		return true
	})
}

// behind reports whether a call of the tenant has to queue because others came
// before it: one of its own, or one that waits for the total.
func (b *Budget) behind(tenant string) bool {
	return slices.ContainsFunc(b.waiting, func(w *waiter) bool {
		return w.tenant == tenant || b.held[w.tenant]+w.bytes <= b.share
	})
}

func (b *Budget) fits(tenant string, bytes int64) bool {
	return b.used+bytes <= b.total && b.held[tenant]+bytes <= b.share
}

func (b *Budget) lend(tenant string, bytes int64) {
	b.used += bytes
	b.peak = max(b.peak, b.used)
	b.held[tenant] += bytes
}

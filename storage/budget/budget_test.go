package budget

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func take(t *testing.T, b *Budget, tenant string, bytes int64) *Lease {
	t.Helper()
	l, err := b.Take(t.Context(), tenant, bytes)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// One tenant at its share waits, and keeps no other out.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100, 40, 5*time.Second)
		hungry := take(t, b, "hungry", 40)
		if _, err := b.Take(t.Context(), "hungry", 1); !errors.Is(err, ErrFull) {
			t.Errorf("over the share: %v", err)
		}
		got := make(chan *Lease)
		go func() { got <- take(t, b, "hungry", 10) }()
		synctest.Wait()
		if s := b.Stats(); s.Waiting != 1 || s.Used != 40 {
			t.Errorf("%+v", s)
		}
		other := take(t, b, "other", 40) // at once, although somebody waits
		hungry.Release()
		mine := <-got
		mine.Release()
		other.Release()
		if s := b.Stats(); s.Used != 0 || s.Peak != 80 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Who needs much is not passed by those who need little.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100, 100, 5*time.Second)
		first := take(t, b, "a", 60)
		order := make(chan string, 2)
		for _, x := range []struct {
			tenant string
			bytes  int64
		}{{"large", 80}, {"small", 10}} {
			go func() {
				take(t, b, x.tenant, x.bytes)
				order <- x.tenant
			}()
			synctest.Wait()
		}
		if b.Stats().Waiting != 2 {
			t.Error("a small call passed a large one that waits")
		}
		first.Release()
		synctest.Wait()
		if a, c := <-order, <-order; b.Stats().Used != 90 || a == c {
			t.Errorf("%s, %s, %+v", a, c, b.Stats())
		}
	})
}

// Waiting ends with the patience or the caller's context, and who came later is
// served then.
func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100, 100, 5*time.Second)
		take(t, b, "a", 60)
		start := time.Now()
		if _, err := b.Take(t.Context(), "b", 50); !errors.Is(err, ErrFull) || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := b.Take(ctx, "b", 50)
			failed <- err
		}()
		synctest.Wait()
		small := make(chan *Lease)
		go func() { small <- take(t, b, "c", 10) }()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		(<-small).Release()
	})
}

// Who asks for more than a share gets all of it.
func TestMoreThanAShare(t *testing.T) {
	b := New(100, 40, time.Second)
	if l := take(t, b, "a", 1000); l.Bytes() != 40 {
		t.Errorf("%d", l.Bytes())
	}
	var none *Budget
	if l := take(t, none, "a", 1000); l.Bytes() != 1000 {
		t.Errorf("without a budget: %d", l.Bytes())
	} else {
		l.Release()
	}
}

// Whatever is asked for, neither the total nor a share is exceeded, and in the
// end nothing is lent.
func TestBounds(t *testing.T) {
	const total, share = 1000, 300
	b := New(total, share, time.Minute)
	var all atomic.Int64
	var tenants [4]atomic.Int64
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range 200 {
				tenant := r.IntN(len(tenants))
				l, err := b.Take(t.Context(), fmt.Sprint(tenant), 1+r.Int64N(share+50))
				if err != nil {
					t.Error(err)
					return
				}
				if sum := all.Add(l.Bytes()); sum > total {
					t.Errorf("%d are lent", sum)
				}
				if sum := tenants[tenant].Add(l.Bytes()); sum > share {
					t.Errorf("%d are lent to one", sum)
				}
				tenants[tenant].Add(-l.Bytes())
				all.Add(-l.Bytes())
				l.Release()
			}
		})
	}
	group.Wait()
	if s := b.Stats(); s.Used != 0 || s.Waiting != 0 || s.Peak > total {
		t.Errorf("%+v", s)
	}
}

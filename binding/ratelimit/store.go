package ratelimit

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	shardCount      = 32 // power of two
	maxKeysPerShard = 4096
)

// Store holds the counters of every namespace. It is safe for concurrent use.
type Store struct {
	now    func() time.Time
	seeds  [2]maphash.Seed
	shards [shardCount]shard
}

// shard holds part of the keys, with one window per period.
type shard struct {
	mu      sync.Mutex
	windows [2]window
}

// window is the current window of one period. Its whole content goes when the
// next one begins, so nothing is ever swept.
type window struct {
	epoch  int64 // Unix time divided by the period
	counts map[string]map[digest]uint32
}

// digest stands for a key, so that long keys cost no more than short ones. Its
// seeds are random: nobody can make two keys collide on purpose.
type digest [2]uint64

// NewStore returns an empty store that tells time by now; nil means time.Now.
func NewStore(now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{now: now, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

// take counts one use of key unless limit of them were counted in this window.
// The limit is no part of a counter's identity, and need not be whole: a
// Worker may give any number.
func (s *Store) take(namespace, key string, limit float64, period time.Duration) (bool, error) {
	p, err := periodIndex(period)
	if err != nil {
		return false, err
	}
	d := digest{maphash.String(s.seeds[0], key), maphash.String(s.seeds[1], key)}
	epoch := s.now().Unix() / int64(period/time.Second)

	sh := &s.shards[d[0]%shardCount]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	w := &sh.windows[p]
	if w.epoch != epoch || w.counts == nil {
		w.epoch, w.counts = epoch, map[string]map[digest]uint32{}
	}
	counts := w.counts[namespace]
	n, known := counts[d]
	if float64(n) >= limit {
		return false, nil
	}
	if counts == nil {
		counts = map[digest]uint32{}
		w.counts[namespace] = counts
	}
	if known || len(counts) < maxKeysPerShard {
		counts[d] = n + 1
	}
	return true, nil
}

func periodIndex(period time.Duration) (int, error) {
	switch period {
	case ShortPeriod:
		return 0, nil
	case LongPeriod:
		return 1, nil
	}
	return 0, ErrPeriod
}

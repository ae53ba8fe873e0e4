// Package ratelimit is the rate limiting binding: env.LIMITER.limit({key}).
//
// Counters are fixed windows of 10 or 60 seconds, aligned to the Unix epoch,
// one per (namespace, key, period). On Cloudflare they are local to a location
// and eventually consistent; here they are local to this process and exact:
// once limit() has said yes N times in a window it says no until the next one.
// They live in memory only, so a restart forgets them, and several nodes each
// count for themselves. As on Cloudflare, this is made to shed load, not to
// keep accounts.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// MaxKeys is how many keys of one namespace are counted within one window
// (shared out evenly over the store's shards). Further keys are let through
// uncounted until the window ends, so that memory is bounded and a flood of
// random keys cannot lock out the others.
const MaxKeys = shardCount * maxKeysPerShard

// The two periods that exist.
const (
	ShortPeriod = 10 * time.Second
	LongPeriod  = 60 * time.Second
)

// ErrPeriod says that a period is neither 10 nor 60 seconds.
var ErrPeriod = errors.New("unsupported period: it must be 10 or 60 seconds")

// Limiter limits the rate of one namespace's keys. It is safe for concurrent
// use. Limiters of the same store and namespace share their counters.
type Limiter struct {
	store     *Store
	namespace string
	limit     int
	period    time.Duration
}

// Limiter returns a limiter that allows limit uses of a key in each period.
func (s *Store) Limiter(namespace string, limit int, period time.Duration) (*Limiter, error) {
	if limit < 1 {
		return nil, fmt.Errorf("rate limit %d: must be at least 1", limit)
	}
	if _, err := periodIndex(period); err != nil {
		return nil, err
	}
	return &Limiter{store: s, namespace: namespace, limit: limit, period: period}, nil
}

// Limit counts one use of key and reports whether it is within the limit. A
// refused use is not counted. The context's error is returned when it is done.
func (l *Limiter) Limit(ctx context.Context, key string) (ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return l.store.take(l.namespace, key, float64(l.limit), l.period)
}

package engine

import (
	"math"
	"time"
)

// load is what a cell had to do lately. Only the watchdog's loop uses it.
type load struct {
	thread time.Duration // at the last look
	seen   time.Time     // when that was
	// busy is the share of a processor that the cell's thread had, inFlight the
	// number of its requests and events; both are exponential averages.
	busy, inFlight float64
}

// loadSpan is the span of the averages: a thread that begins to compute is found
// to do so after 0.8 s.
const loadSpan = 500 * time.Millisecond

// noLoad is an average that counts as nothing, so that the kernel is not asked.
const noLoad = 0.01

// look brings the averages up to date.
func (l *load) look(c *cell, now time.Time) {
	requests := c.inFlight.Load()
	if requests == 0 && l.busy < noLoad && !c.plan.called {
		l.busy, l.inFlight = 0, 0
		return
	}
	since := now.Sub(l.seen)
	if since <= 0 {
		return
	}
	thread, err := c.pool.w.e.o.thread(c)
	if err != nil {
		return // it has ended
	}
	if !l.seen.IsZero() {
		weight := 1 - math.Exp(-since.Seconds()/loadSpan.Seconds())
		l.busy += weight * (min(float64(thread-l.thread)/float64(since), 1) - l.busy)
		l.inFlight += weight * (float64(requests) - l.inFlight)
	}
	l.thread, l.seen = thread, now
}

// standing says how a cell compares with others of its version.
type standing int32

const (
	fit       standing = iota
	saturated          // its thread has no time left
	stuck              // it does not answer
)

// stuckAfter is for how long a ping has been unanswered when new requests go to
// other cells. Options.StuckAfter later ends the cell.
const stuckAfter = 200 * time.Millisecond

// probe asks a cell that works whether it answers, and notes how it stands. Only
// the watchdog's loop calls it.
func (c *cell) probe(now time.Time) {
	p := c.watch.unanswered()
	if p == nil && c.inFlight.Load() > 0 {
		if u, err := c.proc.Usage(); err == nil {
			c.ping(now, u.CPU)
		}
	}
	s := fit
	switch {
	case p != nil && now.Sub(p.sent) >= stuckAfter:
		s = stuck
	case c.load.busy >= growAt:
		s = saturated
	}
	c.standing.Store(int32(s))
}

// leastBusy is the cell that takes the next request, nil without cells: the one
// with the fewest requests in flight that are not WebSockets. One that is stuck
// comes last. Of equals it is one whose thread has time, and of those the
// oldest, so that further ones have nothing to do when there is little.
func leastBusy(cells []*cell) *cell {
	var best *cell
	var least int64
	for _, c := range cells {
		rank := 2 * (c.inFlight.Load() - c.upgraded.Load())
		switch standing(c.standing.Load()) {
		case saturated:
			rank++
		case stuck:
			rank += 1 << 32
		}
		if best == nil || rank < least {
			best, least = c, rank
		}
	}
	return best
}

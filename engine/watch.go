package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/fault"
)

// watched is what the watchdog remembers of a cell. Only its loop uses it.
type watched struct {
	cpu        time.Duration // at the last look
	seen       time.Time     // when that was
	lastActive time.Time
	busy       bool  // at the last look
	memory     int64 // resident, at the last look
	last       *ping // see unanswered
}

// unanswered is the ping to which no answer has come, nil when none is out.
func (w *watched) unanswered() *ping {
	if w.last != nil && w.last.answered.Load() {
		w.last = nil
	}
	return w.last
}

// ping is a question to the cell's JavaScript thread.
type ping struct {
	sent     time.Time
	cpu      time.Duration
	answered atomic.Bool
}

// loadInterval is how often the load of cells is looked at.
const loadInterval = 100 * time.Millisecond

// watch looks at every cell in turn until the engine closes.
func (e *Engine) watch() {
	interval := min(max(e.o.StuckAfter/8, 20*time.Millisecond), time.Second)
	tick := min(interval, loadInterval)
	ticks, stop := e.o.clock.every(tick)
	defer stop()
	measured, captured, looked := e.o.clock.now(), e.o.clock.now(), time.Time{}
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-ticks:
			e.mu.Lock()
			cells := make([]*cell, 0, len(e.cells))
			for c := range e.cells {
				cells = append(cells, c)
			}
			e.mu.Unlock()
			if now.Sub(looked) > interval-tick/2 { // ticks are not exact
				looked = now
				for _, c := range cells {
					c.check(now)
				}
				e.thin(cells)
			}
			if now.Sub(measured) >= measureEvery {
				measured = now
				e.stopFat(cells)
			}
			if now.Sub(captured) >= captureEvery {
				captured = now
				e.recovery.begin(now, cells)
			}
			e.scale(now, cells)
		}
	}
}

// check kills the cell when it is stuck, burns the processor or has grown too
// large, and stops it when nobody has used it for long.
func (c *cell) check(now time.Time) {
	o := &c.pool.w.e.o
	u, err := c.proc.Usage()
	if err != nil {
		return // it has ended, which others handle
	}
	w := &c.watch
	used, since := u.CPU-w.cpu, now.Sub(w.seen)
	w.cpu, w.seen = u.CPU, now
	busy := c.inFlight.Load() > 0 || used > since/50
	w.busy, w.memory = busy, u.Memory

	if u.Memory > o.MaxMemory {
		c.kill(memoryExceeded)
		return
	}
	switch p := w.unanswered(); {
	case p == nil && busy:
		c.ping(now, u.CPU)
	case p == nil:
	case c.version.Limits.CPU > 0 && u.CPU-p.cpu > c.version.Limits.CPU:
		c.kill(cpuExceeded)
	case now.Sub(p.sent) > o.StuckAfter && u.Memory > o.MaxMemory*7/10:
		c.kill(memoryExceeded) // V8 collects garbage in vain
	case now.Sub(p.sent) > o.StuckAfter && u.CPU-p.cpu > o.StuckAfter/10:
		c.kill(cpuExceeded) // it computes: an idle one uses next to nothing
	case now.Sub(p.sent) > o.StuckAfter:
		c.kill(fault.Unavailable.With(fmt.Sprintf("The Worker did not respond for %v and was stopped.", o.StuckAfter), nil))
	}

	if busy {
		w.lastActive = now
	} else if o.IdleAfter > 0 && now.Sub(w.lastActive) > o.IdleAfter && !(c.home() && c.pool.alarmSet()) {
		c.pool.stopIdle(c)
	}
}

var cpuExceeded = fault.ExceededCPU.With("The Worker exceeded its CPU time limit.", nil)

// ping sends the cell a question when none is out. cpu is the processor time it
// has used so far.
func (c *cell) ping(now time.Time, cpu time.Duration) {
	c.watch.last = &ping{sent: now, cpu: cpu}
	go c.send(c.watch.last, c.pool.w.e.o.StuckAfter)
}

// send asks the shim for a sign of life. An answer that does not come leaves
// the ping unanswered; the process's end makes that meaningless.
func (c *cell) send(p *ping, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience+time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://events/ping", nil)
	if err != nil {
		return
	}
	res, err := c.events.Do(req)
	if err != nil {
		// A draining cell takes no new connections: that is no sign of trouble.
		select {
		case <-c.stopping:
			p.answered.Store(true)
		default:
		}
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	p.answered.Store(true)
}

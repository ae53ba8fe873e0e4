package engine

import (
	"context"
	"time"
)

// How long a cell must have been quiet to be taken for done. What a Worker does
// after its response (waitUntil) and what other cells have called cannot be
// counted from outside, and workerd drops the former at SIGTERM; but it uses
// the processor, or waits for one of our bindings or the network, which we see.
const (
	// quietSwap: a new cell has taken over, so there is time.
	quietSwap = 2 * time.Second
	// quietWait: requests, a deployment or the end of the program wait for it,
	// or other cells go on calling the old version meanwhile.
	quietWait = 200 * time.Millisecond
	// busyCallers is how long calls of other cells may keep a cell alive after
	// SIGTERM before the callers are replaced, too.
	busyCallers = 300 * time.Millisecond
)

// drain stops the cell when its work is done, at the latest after DrainTimeout,
// and returns when the process is gone. The pool has stopped giving the cell
// out before.
//
//  1. Wait for our requests in flight, and for WebSockets unless somebody waits
//     for us: the successor of a Worker with Durable Objects, the deployment
//     after the next one, or Close.
//  2. End the WebSockets that are left: their clients get a Close frame with
//     code 1012, to the Worker it is as if they had left.
//  3. Wait until the cell is quiet, for waitUntil.
//  4. SIGTERM: workerd takes no more connections, finishes what it reads from
//     those it has, and ends.
//  5. A connection over which another cell has called by RPC keeps workerd
//     alive for ever and is used for that cell's further calls. When it is
//     quiet the process is killed: the caller connects anew for its next call.
//     While it is busy the callers' cells are replaced; the new ones connect to
//     our successor. A hibernating WebSocket whose client has left keeps workerd
//     alive for ever, too.
func (c *cell) drain() {
	c.draining.Store(true)
	c.drainOnce.Do(func() {
		o := &c.pool.w.e.o
		ctx, cancel := context.WithTimeout(context.Background(), o.DrainTimeout)
		defer cancel()
		if c.home() || c.pool.w.e.ctx.Err() != nil {
			c.hurry()
		}
		answered, idle := make(chan struct{}), make(chan struct{})
		go func() {
			c.requests.Wait()
			close(answered)
			c.sockets.Wait()
			close(idle)
		}()
		select {
		case <-answered:
		case <-ctx.Done():
		case <-c.proc.Done():
		}
		select {
		case <-idle:
		case <-c.hurried: // their clients connect anew
		case <-ctx.Done():
		case <-c.proc.Done():
		}
		c.restart.End()
		limit := o.DrainTimeout
		if c.plan.called {
			limit = 2 * quietWait // until the SIGTERM other cells bring new work
		}
		c.settle(ctx, limit)
		c.hop.Close()
		c.objects.Close()
		// From here on connections of other cells wait for the next cell.
		c.stopOnce.Do(func() { close(c.stopping) })
		if c.plan.called || c.home() || c.switched.Load() {
			c.pool.w.e.loops.Go(func() {
				if !c.settle(ctx, busyCallers) && ctx.Err() == nil {
					if c.plan.called {
						c.pool.w.e.refreshCallers(c.version.Worker)
					}
					c.settle(ctx, o.DrainTimeout)
				}
				cancel()
			})
		}
		if c.plan.called {
			defer c.pool.w.e.excuseCallers(c.version.Worker)()
		}
		_ = c.proc.Drain(ctx)
	})
	<-c.proc.Done()
}

// hurry lets the drain of the cell, under way or to come, end sooner: somebody
// waits for it.
func (c *cell) hurry() { c.hurryOnce.Do(func() { close(c.hurried) }) }

// quiet is for how long the cell must have been quiet to be stopped.
func (c *cell) quiet() time.Duration {
	select {
	case <-c.hurried:
		return quietWait
	default:
	}
	if c.calm || c.plan.called {
		return quietWait
	}
	return quietSwap
}

// settle waits until the cell has neither used the processor nor waited for us
// for as long as c.quiet says, and says whether it came to that within limit.
func (c *cell) settle(ctx context.Context, limit time.Duration) bool {
	const look = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, limit+c.quiet())
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	last, since := time.Duration(-1), time.Now()
	for {
		u, err := c.proc.Usage()
		if err != nil {
			return true // it is gone
		}
		if c.plan.calls.Load() > 0 || u.CPU-last > look/10 {
			since = time.Now()
		}
		last = u.CPU
		if time.Since(since) >= c.quiet() {
			return true
		}
		select {
		case <-tick.C:
		case <-c.proc.Done():
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// excuseGrace is how long the end of a process may take to reach the clients of
// the WebSockets that led to it through other cells.
const excuseGrace = 5 * time.Second

// excuseCallers has the clients of WebSockets that lead to the Worker through
// other cells told of its restart, until some time after over.
func (e *Engine) excuseCallers(worker string) (over func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var overs []func()
	reaches := map[string]bool{worker: true}
	for known := 0; known < len(reaches); {
		known = len(reaches)
		for c := range e.cells {
			for callee := range c.plan.callees {
				if reaches[callee] {
					reaches[c.version.Worker] = true
				}
			}
		}
	}
	for c := range e.cells {
		if c.version.Worker != worker && reaches[c.version.Worker] {
			overs = append(overs, c.restart.Excuse())
		}
	}
	return func() {
		time.AfterFunc(excuseGrace, func() {
			for _, over := range overs {
				over()
			}
		})
	}
}

// refreshCallers replaces the cells that call the Worker.
func (e *Engine) refreshCallers(worker string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.cells {
		if c.plan.callees[worker] {
			c.pool.refresh()
		}
	}
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/fault"
)

// pool keeps the cells of one version: some take new requests, one may be
// starting, and older ones drain.
type pool struct {
	w       *worker
	version *config.Version
	standIn bool // the version is ours and does nothing but throw
	most    int  // cells that may take requests
	scaling scaling

	mu      sync.Mutex
	cells   []*cell // take requests; the oldest first
	start   *start  // under way; nil when none is
	retired bool
	// failures counts starts and short lives that ended badly, in a row;
	// failure is the last one, told to requests until retryAt.
	failures int
	failure  error
	retryAt  time.Time
	restarts int
	// absent are entrypoints that other Workers call and this version lacks.
	absent map[string]bool
}

// start is one attempt to start a cell. err is set before done closes.
type start struct {
	done chan struct{}
	err  error
	// further: the cell is one more, or takes the place of instead, if that is
	// set. Otherwise it takes the place of all that run. again: it is out of date
	// already. The pool's lock guards them.
	further, again bool
	instead        *cell
}

// A cell that lives this long clears the failures before it.
const longLife = 10 * time.Second

// maxBackOff is the longest wait between two starts.
const maxBackOff = 30 * time.Second

// furtherRetry is how long no further cell is started when one did not start.
const furtherRetry = 10 * time.Second

// backOff is how long nothing is tried after so many failures in a row.
func backOff(failures int) time.Duration {
	if failures < 2 {
		return 0 // once is bad luck
	}
	return min(100*time.Millisecond<<min(failures-2, 10), maxBackOff)
}

func newPool(w *worker, v *config.Version) *pool {
	p := &pool{w: w, version: v, most: w.e.o.Cells, absent: map[string]bool{}}
	if v.Limits.Cells > 0 {
		p.most = min(p.most, v.Limits.Cells)
	}
	if p.durable() && !spreads(v) || w.e.inspectorAddr(w.name) != "" {
		p.most = 1
	}
	return p
}

// durable: the version's objects must never be open in two processes.
func (p *pool) durable() bool { return len(p.version.Classes) > 0 }

// hot: a cell runs or is about to.
func (p *pool) hot() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.cells) > 0 || p.start != nil
}

func (p *pool) starting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.start != nil
}

// take returns the least busy cell with one more request, or nil.
func (p *pool) take() *cell {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.takeLocked(leastBusy)
}

// takeLocked is take with another choice.
func (p *pool) takeLocked(choose func([]*cell) *cell) *cell {
	for {
		c := choose(p.cells)
		if c == nil {
			return nil
		}
		select {
		case <-c.proc.Done(): // the news has not come round yet
			p.endedLocked(c)
		default:
			c.retain()
			return c
		}
	}
}

// acquire returns the least busy cell with one more request, starting one first
// if none runs.
func (p *pool) acquire(ctx context.Context) (*cell, error) { return p.choose(ctx, leastBusy) }

// acquireHome is acquire for what must reach the cell with the objects, where the
// version has any.
func (p *pool) acquireHome(ctx context.Context) (*cell, error) { return p.choose(ctx, home) }

func (p *pool) choose(ctx context.Context, choose func([]*cell) *cell) (*cell, error) {
	for {
		p.mu.Lock()
		if c := p.takeLocked(choose); c != nil {
			p.mu.Unlock()
			return c, nil
		}
		s, err := p.beginLocked()
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if err := p.await(ctx, s); err != nil {
			return nil, err
		}
	}
}

// await returns when s has ended.
func (p *pool) await(ctx context.Context, s *start) error {
	p.w.e.waiting.Add(1)
	defer p.w.e.waiting.Add(-1)
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begin starts a cell if none runs and the last failure is long enough ago.
func (p *pool) begin() *start {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.cells) > 0 {
		return nil
	}
	s, _ := p.beginLocked()
	return s
}

func (p *pool) beginLocked() (*start, error) {
	switch {
	case p.start != nil:
		return p.start, nil
	case p.retired:
		return nil, errRetired
	case p.failure != nil && p.w.e.o.clock.now().Before(p.retryAt):
		return nil, p.failure
	}
	return p.launchLocked(), nil
}

func (p *pool) launchLocked() *start {
	s := &start{done: make(chan struct{})}
	p.start = s
	p.w.e.loops.Go(func() { p.launch(s) })
	return s
}

// refresh replaces the running cells by one that is built anew.
func (p *pool) refresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.start != nil && p.durable():
		p.start.again = true // a further cell cannot take the place of the first
	case p.start != nil:
		p.start.further = false
	case len(p.cells) > 0 && !p.retired:
		p.launchLocked()
	}
}

// grow starts one more cell, or one in the place of instead. It reports whether
// it could.
func (p *pool) grow(instead *cell) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.cells) == 0 || p.start != nil || p.retired || p.w.e.o.clock.now().Before(p.retryAt) {
		return false
	}
	s := p.launchLocked()
	s.further, s.instead = true, instead
	return true
}

// shrink stops the youngest cell but one that has WebSockets, unless it is the last.
func (p *pool) shrink() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.start != nil {
		return
	}
	for i := len(p.cells) - 1; i >= 0 && len(p.cells) > 1; i-- {
		if c := p.cells[i]; c.upgraded.Load() == 0 && !c.home() {
			p.withdrawLocked(c)
			p.drain(c)
			return
		}
	}
}

// launch runs one start to its end.
func (p *pool) launch(s *start) {
	e := p.w.e
	ctx, cancel := context.WithTimeoutCause(e.ctx, e.o.StartTimeout+e.o.DrainTimeout, errors.New("the cell took too long to start"))
	defer cancel()
	p.mu.Lock()
	further := p.durable() && s.further
	var old []*cell
	if p.durable() && !further {
		old, p.cells = p.cells, nil
	}
	p.mu.Unlock()
	p.end(old)
	c, err := newCell(ctx, p, further)

	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(s.done)
	p.start = nil
	switch {
	case err != nil && s.further && (further || len(p.cells) > 0):
		p.retryAt = e.o.clock.now().Add(furtherRetry)
		if ctx.Err() == nil && !p.retired {
			e.o.Logger.Warn("a further cell did not start", "worker", p.version.Worker, "version", p.version.ID, "err", err)
		}
		return
	case err != nil:
		p.failures++
		// The same code fails the same way: there is no hurry to try again.
		p.failure, p.retryAt = e.startFault(p.version, err), e.o.clock.now().Add(max(backOff(p.failures), 500*time.Millisecond))
		s.err = p.failure
		if !p.retired && ctx.Err() == nil {
			e.o.Logger.Error("cell did not start", "worker", p.version.Worker, "version", p.version.ID, "err", errors.Unwrap(p.failure))
		}
		return
	case p.retired:
		s.err = errRetired
		p.dismiss(c)
		return
	case further && home(p.cells) == nil:
		p.dismiss(c) // the first has ended
		return
	}
	stay := p.cells[:0:0]
	for _, old := range p.cells {
		if s.further && old != s.instead {
			stay = append(stay, old)
		} else {
			p.drain(old)
		}
	}
	p.cells, p.failure = append(stay, c), nil
	e.loops.Go(func() { <-c.proc.Done(); p.ended(c) })
	if p.durable() {
		p.look() // who came or left while it started
	}
	if (s.again || c.generation != p.w.generation.Load()) && !p.retired {
		p.launchLocked() // what it should have was decided while it started
	}
}

// withdrawLocked takes c from the cells that get requests; false: it is none.
func (p *pool) withdrawLocked(c *cell) bool {
	i := slices.Index(p.cells, c)
	if i < 0 {
		return false
	}
	p.cells = slices.Delete(p.cells, i, i+1)
	return true
}

// drain lets cells finish and stops them, in the background.
func (p *pool) drain(cells ...*cell) {
	for _, c := range cells {
		c.draining.Store(true)
	}
	p.w.e.loops.Go(func() { p.end(cells) })
}

// dismiss drains a cell that is not the pool's.
func (p *pool) dismiss(c *cell) {
	p.drain(c)
	p.w.e.loops.Go(func() { <-c.proc.Done(); c.gone() })
}

// end drains cells that the pool gives out no more and returns when they are
// gone. The one with the objects goes last: what others of the version have
// begun may need it.
func (p *pool) end(cells []*cell) {
	var last *cell
	var wg sync.WaitGroup
	for _, c := range cells {
		c.draining.Store(true)
		if c.home() {
			last = c
			continue
		}
		wg.Go(c.drain)
	}
	if last != nil {
		for _, c := range p.w.cells(func(c *cell) bool { return c.pool == p && c.further }) {
			c.hurry()
			wg.Go(c.drain)
		}
	}
	wg.Wait()
	if last != nil {
		last.drain()
	}
}

// ended is called when a cell's process is gone.
func (p *pool) ended(c *cell) {
	c.gone()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endedLocked(c)
}

func (p *pool) endedLocked(c *cell) {
	e := p.w.e
	if !p.withdrawLocked(c) {
		return // it was drained, or the end is known
	}
	if p.retired {
		return
	}
	if c.home() {
		p.drain(p.cells...) // they come again with the load
		p.cells = nil
	}
	p.restarts++
	e.crashes.Add(1)
	if e.o.clock.now().Sub(c.started) > longLife {
		p.failures = 0
	}
	p.failures++
	cause := c.cause()
	wait := backOff(p.failures)
	held := wait
	if errors.Is(cause, fault.ExceededCPU) {
		// A request used too much and was told; those that come next have done
		// nothing wrong, and whoever sends such requests must not be able to keep
		// everyone else waiting.
		held = 0
	}
	p.failure = fault.Unavailable.With(fmt.Sprintf("The Worker's process has ended unexpectedly %d times in a row; the next try is in at most %v.",
		p.failures, held.Round(time.Millisecond)), cause)
	p.retryAt = e.o.clock.now().Add(held)
	e.o.Logger.Error("cell ended unexpectedly", "worker", p.version.Worker, "version", p.version.ID,
		"failures", p.failures, "wait", held, "err", cause)
	if c.home() && p.alarmSet() {
		e.loops.Go(func() { // an alarm may be due
			select {
			case <-e.o.clock.after(wait + 10*time.Millisecond):
				p.begin()
			case <-e.ctx.Done():
			}
		})
	}
}

// stopIdle stops c if nothing has come in between. The cell with the objects
// stays as long as others of the version do.
func (p *pool) stopIdle(c *cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.home() && len(p.cells) > 1 {
		return
	}
	if p.start == nil && c.inFlight.Load() == 0 && p.withdrawLocked(c) {
		c.calm = true
		p.drain(c)
	}
}

// retire ends the pool: its cells drain and no other starts.
func (p *pool) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = true
	for _, c := range p.cells {
		if p.standIn {
			c.proc.Kill() // all it does is throw
		}
	}
	p.drain(p.cells...)
	p.cells = nil
}

// startFault is what a request is told when its cell did not start.
func (e *Engine) startFault(v *config.Version, err error) error {
	var se *workerd.StartError
	if errors.As(err, &se) {
		mapped := *se
		if se.Stack != "" {
			mapped.Stack = e.o.MapStack(v, se.Stack)
		}
		text := mapped.Error()
		if mapped.Stack != "" {
			text = mapped.Message + "\n" + mapped.Stack
		}
		return fault.StartFailed.With(text, &mapped)
	}
	return fault.StartFailed.With(err.Error(), err)
}

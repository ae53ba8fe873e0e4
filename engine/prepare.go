package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/fault"
)

// coming is a deployment that is being made ready: its pools have cells before
// any snapshot names their versions.
type coming struct {
	pools map[string]*pool // by version id
	// primary is the one that other cells will call.
	primary *pool
}

// pool returns the pool of a version, if it is one of the deployment's.
func (c *coming) pool(id string) *pool {
	if c == nil {
		return nil
	}
	return c.pools[id]
}

// Prepare starts the cells of a deployment that is about to be made and returns
// when they listen: within StartTimeout, and DrainTimeout where a cell must end
// first. The caller then makes the deployment, or does not, and calls finish.
// An error says why a version does not start; then all is as it was.
//
// Until the snapshot with the deployment comes, the new cells get no requests
// and events; calls of other cells they may answer already, beside the old one,
// because both listen on the same socket. With the snapshot they take over at
// once. finish returns when nothing reaches the replaced versions any more, the
// calls of other cells included. Without such a snapshot it takes everything back.
//
// A version with Durable Objects is never run beside another one: the old cell
// is drained first and requests wait; if the new version does not start, the old
// one is started again.
//
// Of the cells that earlier deployments of the Worker have replaced none is left
// when Prepare returns, so that many deployments in a row do not add up.
//
// Workers of static assets only, and Programs, have nothing to start. Deploy a
// Worker once at a time: a second Prepare before finish is an error.
func (e *Engine) Prepare(ctx context.Context, worker string, shares []config.Share) (finish func(), err error) {
	if e.programs.Find(worker) != nil {
		return func() {}, nil
	}
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, errClosed
	}
	w := e.workerLocked(worker)
	e.mu.Unlock()
	return w.prepare(ctx, trafficShares(&config.Worker{Shares: shares}))
}

var errClosed = fault.Unavailable.With("The server is shutting down.", nil)

func (w *worker) prepare(ctx context.Context, shares []config.Share) (finish func(), err error) {
	o := &w.e.o
	ctx, cancel := context.WithTimeoutCause(ctx, o.StartTimeout+o.DrainTimeout,
		fmt.Errorf("not ready after %v", o.StartTimeout+o.DrainTimeout))
	defer cancel()
	taken := w.holders(shares)
	earlier := w.cells(func(c *cell) bool { return c.draining.Load() })
	w.mu.Lock()
	switch {
	case w.closed:
		w.mu.Unlock()
		return nil, errClosed
	case w.coming != nil:
		w.mu.Unlock()
		return nil, errors.New("another deployment of this Worker is under way")
	}
	next := &coming{pools: map[string]*pool{}}
	w.coming = next
	serving, best := w.primary(), largest(shares)
	exclusive := false
	for i, s := range shares {
		if s.Version.MainModule == "" {
			continue
		}
		p := w.pools[s.Version.ID]
		// The cell of a preview, or of the smaller share, does not listen for
		// calls of other cells.
		if p == nil || !w.takesTraffic(s.Version) || i == best && w.called() && p != serving {
			p = newPool(w, s.Version)
			exclusive = exclusive || p.durable()
		}
		next.pools[s.Version.ID] = p
		if i == best {
			next.primary = p
		}
	}
	before := taken
	for id, p := range w.pools {
		if exclusive && p.durable() && next.pools[id] != p {
			before = append(before, p)
		}
	}
	w.mu.Unlock()

	var releases []func()
	finish = sync.OnceFunc(func() {
		w.mu.Lock()
		w.coming = nil
		for id, p := range next.pools {
			if w.pools[id] != p {
				p.retire()
			}
		}
		w.mu.Unlock()
		for _, release := range releases {
			release()
		}
		w.handOver()
	})
	if err := func() error {
		for _, c := range earlier {
			c.hurry()
		}
		for _, p := range before {
			release, err := p.hold(ctx)
			if err != nil {
				return err
			}
			releases = append(releases, release)
		}
		if err := ready(ctx, next.pools); err != nil {
			return err
		}
		return gone(ctx, earlier)
	}(); err != nil {
		finish()
		return nil, err
	}
	return finish, nil
}

// ready returns when each of the pools has a cell, or with the first error.
func ready(ctx context.Context, pools map[string]*pool) error {
	for _, p := range pools {
		p.begin()
	}
	for _, p := range pools {
		c, err := p.acquire(ctx)
		if errors.Is(err, errRetired) {
			return errClosed // nothing else retires a pool that nobody knows yet
		}
		if err != nil {
			return err
		}
		c.release()
	}
	return nil
}

// gone returns when all cells have ended.
func gone(ctx context.Context, cells []*cell) error {
	for _, c := range cells {
		select {
		case <-c.over:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// handOver returns when no cell but the one in force answers calls of other
// cells. Those keep their connections, so the end of the others is what it takes.
func (w *worker) handOver() {
	o := &w.e.o
	ctx, cancel := context.WithTimeout(w.e.ctx, o.StartTimeout+o.DrainTimeout)
	defer cancel()
	w.mu.Lock()
	primary := w.primary()
	w.mu.Unlock()
	// What is left when the time is over cannot be helped: the new version is
	// deployed and serves.
	_ = gone(ctx, w.cells(func(c *cell) bool {
		return c.plan.called && (c.draining.Load() || c.pool != primary && !c.pool.standIn && c.current())
	}))
}

// cells lists those of the Worker's cells that f picks.
func (w *worker) cells(f func(*cell) bool) []*cell {
	w.e.mu.Lock()
	var list []*cell
	for c := range w.e.cells {
		if c.pool.w == w {
			list = append(list, c)
		}
	}
	w.e.mu.Unlock()
	return slices.DeleteFunc(list, func(c *cell) bool { return !f(c) })
}

// takesTraffic reports whether v has a share. Called with w.mu held.
func (w *worker) takesTraffic(v *config.Version) bool {
	return slices.ContainsFunc(w.shares, func(s config.Share) bool { return s.Version.ID == v.ID })
}

// largest is the index of the largest share that has code, -1 without any.
func largest(shares []config.Share) int {
	best := -1
	for i, s := range shares {
		if s.Version.MainModule != "" && (best < 0 || s.Percentage > shares[best].Percentage) {
			best = i
		}
	}
	return best
}

// hold drains the pool's cells and starts no other until release is called;
// requests wait meanwhile. If a cell ran, release starts one.
func (p *pool) hold(ctx context.Context) (release func(), err error) {
	p.mu.Lock()
	for p.start != nil {
		s := p.start
		p.mu.Unlock()
		select {
		case <-s.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		p.mu.Lock()
	}
	// Whoever wants a cell waits for the end of this start, which is none, and
	// looks again.
	s := &start{done: make(chan struct{})}
	p.start = s
	cells := p.cells
	p.cells = nil
	p.mu.Unlock()
	p.end(cells)
	return func() {
		p.mu.Lock()
		p.start = nil
		close(s.done)
		p.mu.Unlock()
		if len(cells) > 0 {
			p.begin()
		}
	}, nil
}

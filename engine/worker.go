package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/selvage-edge/selvage/config"
)

// worker is what the engine knows of one Worker name, deployed or not: the
// pools of its versions and the sockets on which other cells call it.
type worker struct {
	e    *Engine
	name string
	// spread walks evenly over the shares of a deployment.
	spread atomic.Uint64
	// generation grows when cells that run must be replaced by ones that are
	// built anew: a new socket to listen on, a tail Worker to attach.
	generation atomic.Uint64

	mu     sync.Mutex
	closed bool
	config *config.Worker // nil: not deployed
	shares []config.Share // those that take traffic, see trafficShares
	pools  map[string]*pool
	// leaving are pools of versions that lost their share. They serve until
	// those that replace them listen.
	leaving   []*pool
	coming    *coming // see Engine.Prepare; nil: none
	standIn   *pool   // answers other cells' calls when no version can
	peers     map[peerKey]*peerSocket
	observers int
	compiled  map[string]*compiledAssets // by version id
}

// errRetired: the pool's version takes no requests any more; choose again.
var errRetired = errors.New("the version was replaced")

// trafficShares gives the shares that take traffic. Objects of one Worker must
// live in one process, so of two versions of a Worker with Durable Objects only
// the one with the larger share runs.
func trafficShares(c *config.Worker) []config.Share {
	if c == nil || len(c.Shares) < 2 {
		if c == nil {
			return nil
		}
		return c.Shares
	}
	best, durable := 0, false
	for i, s := range c.Shares {
		durable = durable || len(s.Version.Classes) > 0
		if s.Percentage > c.Shares[best].Percentage {
			best = i
		}
	}
	if durable {
		return []config.Share{{Version: c.Shares[best].Version, Percentage: 100}}
	}
	return c.Shares
}

func (w *worker) deployed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.config != nil
}

// update makes the worker follow its configuration; nil: it was deleted.
func (w *worker) update(c *config.Worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || c == w.config {
		return
	}
	hadPrimary := w.primary()
	had := map[*pool]bool{} // a share
	for _, s := range w.shares {
		had[w.pools[s.Version.ID]] = true
	}
	w.config, w.shares = c, trafficShares(c)
	compiled := w.compiled
	w.compiled = map[string]*compiledAssets{}
	if c != nil {
		for _, v := range versions(c) {
			if a := compiled[v.ID]; a != nil {
				w.compiled[v.ID] = a
			}
		}
	}
	old := w.pools
	w.pools = map[string]*pool{}
	keep := func(v *config.Version, p *pool) {
		if p == nil {
			p = newPool(w, v)
		}
		if old[v.ID] == p {
			delete(old, v.ID)
		}
		w.pools[v.ID] = p
	}
	var fresh []*pool // those that had no share
	for _, s := range w.shares {
		v := s.Version
		if v.MainModule == "" || w.pools[v.ID] != nil {
			continue
		}
		p := w.coming.pool(v.ID)
		if p == nil {
			p = old[v.ID]
		}
		if p != nil && !slices.Equal(p.version.Classes, v.Classes) {
			p = nil // another Worker has taken over a class
		}
		keep(v, p)
		if p := w.pools[v.ID]; !had[p] {
			fresh = append(fresh, p)
		}
	}
	if c != nil {
		for _, v := range c.Previews {
			// A preview would open the objects a second time.
			if v.MainModule == "" || len(v.Classes) > 0 || w.pools[v.ID] != nil {
				continue
			}
			p := old[v.ID]
			if had[p] {
				p = nil // its cell was for the traffic, and goes with it
			}
			keep(v, p)
		}
	}
	if w.standIn != nil {
		w.standIn.retire()
		w.standIn = nil
	}
	w.replace(old, fresh)
	if p := w.primary(); p != hadPrimary && w.called() {
		w.generation.Add(1)
		if p != nil && p != w.coming.pool(p.version.ID) {
			p.refresh() // its cell, if any, runs without the sockets of other cells' calls
		}
		if hadPrimary != nil && w.pools[hadPrimary.version.ID] == hadPrimary {
			hadPrimary.refresh() // and this one with them
		}
	}
	for _, p := range fresh {
		if p.durable() && p.alarmSet() {
			p.begin()
		}
	}
}

// replace retires the old pools: at once when they are idle, else when those
// that take their place are ready. Called with w.mu held.
func (w *worker) replace(old map[string]*pool, fresh []*pool) {
	hot := false
	for _, p := range old {
		hot = hot || p.hot()
	}
	exclusive := false
	for _, p := range fresh {
		exclusive = exclusive || p.durable()
	}
	if !hot || len(fresh) == 0 || exclusive {
		for _, p := range old {
			p.retire()
		}
		if hot {
			for _, p := range fresh {
				p.begin()
			}
		}
		return
	}
	var leaving []*pool
	for _, p := range old {
		if p.durable() { // its objects are the new version's, or nobody's
			p.retire()
			continue
		}
		leaving = append(leaving, p)
	}
	var starts []*start
	for _, p := range fresh {
		if s := p.begin(); s != nil {
			starts = append(starts, s)
		}
	}
	if len(starts) == 0 {
		for _, p := range leaving {
			p.retire()
		}
		return
	}
	w.leaving = append(w.leaving, leaving...)
	w.e.loops.Go(func() {
		for _, s := range starts {
			<-s.done
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, p := range leaving {
			p.retire()
		}
		w.leaving = slices.DeleteFunc(w.leaving, func(p *pool) bool { return slices.Contains(leaving, p) })
	})
}

// primary is the pool whose cell other cells call: the larger share's. Nil when
// there is none. Called with w.mu held.
func (w *worker) primary() *pool {
	if best := largest(w.shares); best >= 0 {
		return w.pools[w.shares[best].Version.ID]
	}
	return nil
}

// acquire returns a cell of version v that takes one more request; release it.
func (w *worker) acquire(ctx context.Context, v *config.Version) (*cell, error) {
	w.mu.Lock()
	p := w.pools[v.ID]
	var leaving []*pool
	if len(w.leaving) > 0 && w.takesTraffic(v) {
		leaving = slices.Clone(w.leaving)
	}
	w.mu.Unlock()
	if p == nil {
		return nil, errRetired
	}
	if c := p.take(); c != nil {
		return c, nil
	}
	if p.starting() {
		for _, l := range leaving {
			if c := l.take(); c != nil {
				return c, nil
			}
		}
	}
	return p.acquire(ctx)
}

// called: other Workers call this one. Called with w.mu held.
func (w *worker) called() bool {
	for _, s := range w.peers {
		if s.called {
			return true
		}
	}
	return false
}

// acquireHome is acquire for what must reach the cell with the objects.
func (w *worker) acquireHome(ctx context.Context, v *config.Version) (*cell, error) {
	w.mu.Lock()
	p := w.pools[v.ID]
	w.mu.Unlock()
	if p == nil {
		return nil, errRetired
	}
	return p.acquireHome(ctx)
}

// start starts the cells of all shares and waits.
func (w *worker) start(ctx context.Context) error {
	w.mu.Lock()
	var pools []*pool
	for _, s := range w.shares {
		if p := w.pools[s.Version.ID]; p != nil {
			pools = append(pools, p)
		}
	}
	w.mu.Unlock()
	for _, p := range pools {
		p.begin()
	}
	for _, p := range pools {
		c, err := p.acquire(ctx)
		if errors.Is(err, errRetired) {
			continue // another deployment came in between
		}
		if err != nil {
			return err
		}
		c.release()
	}
	return nil
}

// sockets are those that a cell of pool p listens on for other cells. One with
// Durable Objects that may get further cells listens for those, too.
func (w *worker) sockets(p *pool) (map[peerKey]peerSocket, uint64, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.durable() && p.most > 1 {
		for _, c := range p.version.Classes {
			if _, err := w.open(peerKey{class: c.Name}); err != nil {
				return nil, 0, false, err
			}
		}
	}
	files := map[peerKey]peerSocket{}
	if p == w.standIn || p == w.primary() || w.coming != nil && p == w.coming.primary {
		for k, s := range w.peers {
			files[k] = *s
		}
	}
	return files, w.generation.Load(), w.looking(), nil
}

// refresh replaces the cells that run. Called with w.mu held.
func (w *worker) refresh() {
	w.generation.Add(1)
	for _, p := range w.running() {
		p.refresh()
	}
}

// running are the pools whose cells get requests, or soon will. Called with w.mu
// held.
func (w *worker) running() []*pool {
	if w.closed {
		return nil
	}
	list := slices.Collect(maps.Values(w.pools))
	if w.coming != nil {
		list = slices.AppendSeq(list, maps.Values(w.coming.pools))
	}
	if w.standIn != nil {
		list = append(list, w.standIn)
	}
	return list
}

// close retires everything.
func (w *worker) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, p := range w.pools {
		p.retire()
	}
	for _, p := range w.leaving {
		p.retire()
	}
	if w.coming != nil {
		for _, p := range w.coming.pools {
			p.retire()
		}
	}
	if w.standIn != nil {
		w.standIn.retire()
	}
	for _, s := range w.peers {
		s.close()
	}
}

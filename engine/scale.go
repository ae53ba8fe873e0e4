package engine

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// A version without Durable Objects gets further cells while its load asks for
// them. Load is what the kernel says of the one thread on which a cell runs
// JavaScript, because that is what a process cannot have more of: requests in
// flight tell nothing of it, as most of them wait for something. A thread that
// shares a busy machine does not come to growAt, so where there is no processor
// left no cell is added.
const (
	// growAt is the share of a processor that each cell's thread has had, on
	// average, when another one is started, if besides more requests are in
	// flight than there are cells: one request at a time gains nothing.
	growAt = 0.8
	// shrinkAt is what the threads of one cell less would have to do when one is
	// stopped, after it has been so for shrinkAfter. The last cell is stopped by
	// IdleAfter only.
	shrinkAt    = 0.5
	shrinkAfter = 10 * time.Second
	// yieldAfter is how long a cell goes on that its version could use but whose
	// processor or memory others need.
	yieldAfter = 2 * time.Second
	// hotAt is the load from which a version counts as one that needs a processor.
	hotAt = 0.5
	// scarceMemory is the part of the machine's memory that further cells leave
	// available when they start: one in scarceMemory. See also memoryFloor.
	scarceMemory = 8
)

// room says what memory there is for further cells.
type room int

const (
	plenty room = iota
	scarce      // no other one is started
	none        // those that run are given up
)

// room looks at CellsMemory and the machine.
func (e *Engine) room(cells []*cell) room {
	var sum, largest int64
	for _, c := range cells {
		sum, largest = sum+c.watch.memory, max(largest, c.watch.memory)
	}
	available, total := e.o.machine()
	switch {
	case available < total/memoryFloor || sum > e.o.CellsMemory:
		return none
	case available < total/scarceMemory || sum+largest > e.o.CellsMemory:
		return scarce
	}
	return plenty
}

// demand is what a version asks for.
type demand struct {
	cells int // that take requests
	// busy is the sum of the shares of a processor that their threads have had,
	// inFlight that of their requests; both on average.
	busy, inFlight float64
	// called: other cells send requests, too, which nobody counts.
	called bool
	most   int // cells it may have
}

// want is the number of cells that suits the load, regardless of others.
func (d demand) want() int {
	n := float64(d.cells)
	switch {
	case d.busy >= growAt*n && (d.called || d.inFlight > n):
		return min(d.cells+1, d.most)
	case d.cells > 1 && d.busy <= shrinkAt*(n-1):
		return d.cells - 1
	}
	return min(d.cells, d.most)
}

// allot says how many cells each version may have. Each has its first. Further
// ones are for the processors that the first cells of the busy versions leave,
// and go one by one to the version that has the fewest so far and wants more; of
// equals to the busier one.
func allot(demands []demand, processors int, memory room) []int {
	allowed := make([]int, len(demands))
	free := processors
	for i, d := range demands {
		allowed[i] = 1
		if d.busy >= hotAt {
			free--
		}
	}
	if memory == none {
		return allowed
	}
	for ; free > 0; free-- {
		next := -1
		for i, d := range demands {
			if allowed[i] >= d.want() || memory == scarce && allowed[i] >= d.cells {
				continue
			}
			if next < 0 || allowed[i] < allowed[next] || allowed[i] == allowed[next] && d.busy > demands[next].busy {
				next = i
			}
		}
		if next < 0 {
			break
		}
		allowed[next]++
	}
	return allowed
}

// scale starts and stops further cells. Only the watchdog's loop calls it.
func (e *Engine) scale(now time.Time, cells []*cell) {
	byPool := map[*pool][]*cell{}
	for _, c := range cells {
		if c.pool.most > 1 && !c.draining.Load() {
			c.load.look(c, now)
			byPool[c.pool] = append(byPool[c.pool], c)
		}
	}
	var pools []*pool
	var demands []demand
	further := false
	for p := range byPool {
		pools = append(pools, p)
	}
	slices.SortFunc(pools, func(a, b *pool) int {
		return cmp.Or(strings.Compare(a.version.Worker, b.version.Worker), strings.Compare(a.version.ID, b.version.ID))
	})
	for _, p := range pools {
		d := demand{most: p.most, cells: len(byPool[p])}
		for _, c := range byPool[p] {
			d.busy += c.load.busy
			d.inFlight += c.load.inFlight
			d.called = d.called || c.plan.called
		}
		further = further || d.cells > 1 || d.want() > 1
		demands = append(demands, d)
	}
	if !further {
		return
	}
	for i, allowed := range allot(demands, e.o.processors, e.room(cells)) {
		p, d := pools[i], demands[i]
		if d.cells > 1 || allowed > 1 {
			for _, c := range byPool[p] {
				c.probe(now)
			}
		}
		switch p.scaling.step(now, d, allowed) {
		case grow:
			p.grow(nil)
		case shrink:
			p.shrink()
		default:
			if p.durable() {
				continue // its first cell is not replaced for that
			}
			if c := p.scaling.unshared(now, byPool[p]); c != nil && p.grow(c) {
				p.scaling.replaced(now, d.cells)
			}
		}
	}
}

// step says what to do about a number of cells.
type step int

const (
	stay step = iota
	grow
	shrink
)

// scaling is what the watchdog remembers of a version. Only its loop uses it.
type scaling struct {
	surplus time.Time // since when there are more cells than allowed
	// shared is the number of cells that have all been found to work, or for
	// which all was tried.
	shared int
	tries  int       // to share among more
	at     time.Time // of the last one
}

// step compares the cells of d with how many are allowed.
func (s *scaling) step(now time.Time, d demand, allowed int) step {
	patience := yieldAfter
	if d.want() < d.cells {
		patience = shrinkAfter
	}
	switch {
	case allowed > d.cells:
		s.surplus = time.Time{}
		return grow
	case allowed == d.cells:
		s.surplus = time.Time{}
	case s.surplus.IsZero():
		s.surplus = now
	case now.Sub(s.surplus) >= patience:
		s.surplus = now
		return shrink
	}
	return stay
}

const (
	// shareAfter is how long a further cell of a called Worker has to get work.
	shareAfter = 2 * time.Second
	// shareAgain is the least time between two tries, shareTries is their number
	// for each further cell: one connection, over which all calls go, stays one.
	shareAgain = time.Minute
	shareTries = 3
)

// unshared finds out whether a cell has nothing to do while others are busy, and
// names the busiest of those. Cells that call keep their connections, so a new
// one gets calls only when another one ends and they connect anew.
func (s *scaling) unshared(now time.Time, cells []*cell) *cell {
	if s.shared > len(cells) {
		s.shared, s.tries = len(cells), 0
	}
	if len(cells) <= max(s.shared, 1) {
		return nil
	}
	idlest, busiest := cells[0], cells[0]
	for _, c := range cells {
		if !c.plan.called || now.Sub(c.started) < shareAfter {
			return nil
		}
		if c.load.busy < idlest.load.busy {
			idlest = c
		}
		if c.load.busy > busiest.load.busy {
			busiest = c
		}
	}
	switch {
	case idlest.load.busy > growAt/8:
		s.shared, s.tries = len(cells), 0
	case busiest.load.busy >= growAt && now.Sub(s.at) >= shareAgain:
		return busiest
	}
	return nil
}

// replaced notes that a cell has been replaced because another one had nothing
// to do.
func (s *scaling) replaced(now time.Time, cells int) {
	s.at = now
	if s.tries++; s.tries == shareTries {
		s.shared, s.tries = cells, 0
	}
}

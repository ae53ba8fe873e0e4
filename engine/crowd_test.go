package engine

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

// When the machine has little memory left, the cell goes that has been idle
// longest, one at each look; when all cells have too much, as many as it takes.
func TestCrowd(t *testing.T) {
	clock := newTestClock()
	var available atomic.Int64
	available.Store(memoryFloor)
	b := newBench(t, func(o *Options) {
		clock.use(o)
		o.machine = func() (int64, int64) { return available.Load(), memoryFloor * memoryFloor }
		o.CellsMemory = 1 << 40
	})
	use := func(name string) {
		b.want("/"+name+"/", "hello")
		poll.Until(t, "the request is over", func() bool { cell, ok := b.cellOf(name); return ok && cell.InFlight == 0 })
		clock.advance(time.Second) // the start took processor time
		clock.advance(10 * time.Second)
	}
	for _, name := range []string{"first", "second", "third"} {
		b.deploy(b.version(name, hello))
		use(name)
	}
	if cells := b.Cells(); len(cells) != 3 {
		t.Fatalf("cells %+v, want all while there is room", cells)
	}
	available.Store(memoryFloor - 1)
	clock.advance(time.Second)
	poll.Until(t, "one stops", func() bool { return len(b.Cells()) == 2 })
	available.Store(memoryFloor)
	clock.advance(time.Second)
	clock.advance(time.Second)
	for _, name := range []string{"second", "third"} {
		if _, ok := b.cellOf(name); !ok {
			t.Errorf("%s is gone, too: %d cells", name, len(b.Cells()))
		}
	}
	b.want("/first/", "hello") // it starts again
}

// No more cells stay idle than fit into CellsMemory.
func TestCrowdOfCells(t *testing.T) {
	clock := newTestClock()
	b := newBench(t, func(o *Options) { clock.use(o); o.CellsMemory = 1 })
	b.deploy(b.version("web", hello))
	b.want("/web/", "hello")
	poll.Until(t, "the request is over", func() bool { cell, ok := b.cellOf("web"); return !ok || cell.InFlight == 0 })
	clock.advance(time.Minute)
	clock.advance(time.Minute)
	poll.Until(t, "it stops", func() bool { return len(b.Cells()) == 0 })
	b.want("/web/", "hello")
}

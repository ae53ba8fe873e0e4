package engine

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

// testClock stands still until it is moved.
type testClock struct {
	mu    sync.Mutex
	at    time.Time
	ticks chan time.Time // to the watchdog
}

func newTestClock() *testClock {
	return &testClock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ticks: make(chan time.Time)}
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// use makes it the clock of an engine.
func (c *testClock) use(o *Options) {
	o.clock = clock{now: c.now, after: time.After, every: func(time.Duration) (<-chan time.Time, func()) { return c.ticks, func() {} }}
}

// advance moves the clock and has the watchdog look at every cell, which it has
// done when advance is called again.
func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	c.at = c.at.Add(d)
	now := c.at
	c.mu.Unlock()
	c.ticks <- now
}

// A cell that nobody uses stops after five minutes, and starts again when
// somebody asks. One that another cell has a connection to goes as well.
func TestIdle(t *testing.T) {
	c := newTestClock()
	b := newBench(t, c.use)
	b.deploy(b.version("callee", `export default { fetch() { return new Response("callee") } }`))
	b.deploy(b.version("front", `export default { fetch(r, env) { return env.C.fetch(r) } }`, bound(t, "C", "service", map[string]any{"service": "callee"})))
	for range 2 {
		// The front is started by the request, the callee by the front's connection.
		b.want("/front/", "callee")
		poll.Until(t, "the request is over", func() bool { cell, ok := b.cellOf("front"); return ok && cell.InFlight == 0 })
		for range 4 {
			c.advance(time.Minute)
			if cells := b.Cells(); len(cells) != 2 {
				t.Fatalf("cells %+v, want both until they have been idle for five minutes", cells)
			}
		}
		c.advance(61 * time.Second)
		poll.Until(t, "both cells stop", func() bool { return len(b.Cells()) == 0 })
	}
}

// After its second death in a row a Worker is not started again at once, but
// when the time has come.
func TestRestartWaits(t *testing.T) {
	c := newTestClock()
	b := newBench(t, c.use)
	b.deploy(b.version("web", hello))
	for range 2 {
		b.want("/web/", "hello")
		cell, _ := b.cellOf("web")
		syscall.Kill(cell.PID, syscall.SIGKILL)
		poll.Until(t, "the cell is gone", func() bool { now, ok := b.cellOf("web"); return !ok || now.PID != cell.PID })
	}
	poll.Until(t, "requests are refused", func() bool {
		_, body, _ := b.ask("/web/")
		return strings.Contains(body, "2 times in a row; the next try is in at most 100ms")
	})
	c.advance(99 * time.Millisecond)
	if _, body, _ := b.ask("/web/"); !strings.Contains(body, "2 times in a row") {
		t.Errorf("a moment too early it answers %q", body)
	}
	c.advance(time.Millisecond)
	b.want("/web/", "hello")
}

package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

// further gives a Worker a second cell, which takes the next requests: those that
// are held are in the first.
func (b *bench) further(load *testLoad, worker string) (home, further int, release func()) {
	b.t.Helper()
	held := b.hold(worker, 4)
	load.set(worker, 1)
	load.pass(time.Second)
	pids := b.cells(worker, 2)
	return pids[0], pids[1], func() { held() }
}

// From a further cell the objects of the Worker are as from their own.
func TestObjectsFromFurtherCell(t *testing.T) {
	own := newBench(t, nil)
	own.deploy(roomVersion(own))
	for _, path := range []string{"/hotel/", "/hotel/exports"} {
		want := own.results(path)
		load := newTestLoad()
		b := newBench(t, func(o *Options) { load.use(o); o.Cells = 2 })
		b.deploy(roomVersion(b))
		b.further(load, "hotel")
		got := b.results(path)
		delete(got, "counts") // those that are held have not counted yet; see below
		delete(want, "counts")
		for name, w := range want {
			if g := got[name]; string(g) != string(w) {
				t.Errorf("%s: %s: %s, want %s", path, name, g, w)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d results, want %d", path, len(got), len(want))
		}
	}
}

// The objects stay in one cell, whatever comes and goes; what happens in them is
// told once.
func TestFurtherCellsOfDurableObjects(t *testing.T) {
	load := newTestLoad()
	b := newBench(t, func(o *Options) { load.use(o); o.Cells, o.Observe = 3, true })
	b.deploy(b.version("do", strings.Replace(strings.Replace(fmt.Sprintf(counter, 0),
		"async next() {", "async next() { console.log('counting');", 1),
		"async fetch(r, env) {", "async fetch(r, env) { await r.text();", 1), b.counter(0).Bindings...))
	v := b.workers["do"].Shares[0].Version
	v.Classes = b.counter(0).Classes
	b.deploy(v)
	b.want("/do/", "1")
	home, other, release := b.further(load, "do")
	b.want("/do/", "2")
	var mark []string
	poll.Until(t, "the object's invocations are told", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		mark = nil
		for _, i := range b.invocations {
			if i.ExecutionModel == "durableObject" {
				mark = append(mark, i.ScriptVersion.ID)
			}
		}
		return len(mark) >= 2
	})
	if len(mark) != 2 {
		t.Errorf("%d invocations of two calls", len(mark))
	}
	if counted := b.linesWith("counting"); counted != 2 {
		t.Errorf("%d lines of two calls", counted)
	}
	if b.cellLocks(t) {
		t.Error("the objects' lock is free")
	}

	// A further cell that crashes takes only its own requests along.
	syscall.Kill(other, syscall.SIGKILL)
	if left := b.cells("do", 1); left[0] != home {
		t.Errorf("cell %d is left, want %d", left[0], home)
	}
	release()
	b.want("/do/", "7")
	// When the load falls, the objects' cell is the one that stays.
	load.set("do", 0)
	load.pass(time.Second)
	home, other, release = b.further(load, "do")
	release()
	load.set("do", 0)
	load.pass(shrinkAfter + 3*time.Second)
	if left := b.cells("do", 1); left[0] != home {
		t.Errorf("cell %d is left, want %d", left[0], home)
	}
	poll.Until(t, "the other is gone", func() bool { return !process(other) })
	// When the objects' cell crashes, the others end with it and come again.
	home, other, _ = b.further(load, "do")
	syscall.Kill(home, syscall.SIGKILL)
	poll.Until(t, "both are gone", func() bool { return !process(home) && !process(other) })
	poll.Until(t, "it counts again", func() bool { status, _, _ := b.ask("/do/"); return status == 200 })
	if n := len(b.cells("do", 1)); n != 1 {
		t.Errorf("%d cells", n)
	}
}

// linesWith is how many lines have a text.
func (b *bench) linesWith(text string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if l.Message == text {
			n++
		}
	}
	return n
}

// New versions of a Worker with objects and several cells lose no request and no
// count.
func TestFurtherCellsAreReplaced(t *testing.T) {
	load := newTestLoad()
	b := newBench(t, func(o *Options) { load.use(o); o.Cells = 3 })
	deploy := func(n int) {
		v := b.version("do", strings.Replace(fmt.Sprintf(counter, n), "async fetch(r, env) {", "async fetch(r, env) { await r.text();", 1), b.counter(0).Bindings...)
		v.Classes = b.counter(0).Classes
		b.deploy(v)
		if err := b.Start(t.Context(), "do"); err != nil {
			t.Error(err)
		}
	}
	deploy(0)
	var mu sync.Mutex
	last := 0
	var failures []string
	for round := range 2 {
		_, _, release := b.further(load, "do")
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for ctx.Err() == nil {
					mu.Lock()
					before := last
					mu.Unlock()
					status, body, err := b.ask("/do/")
					n, _ := strconv.Atoi(body)
					mu.Lock()
					if err != nil || status != 200 || n <= before {
						failures = append(failures, fmt.Sprintf("%d %s %v after %d", status, body, err, before))
					}
					last = max(last, n)
					mu.Unlock()
				}
			})
		}
		at := func() int { mu.Lock(); defer mu.Unlock(); return last }
		begin := at()
		poll.Until(t, "it counts", func() bool { return at() > begin+20 })
		load.set("do", 0)
		release()
		deploy(round + 1)
		begin = at()
		poll.Until(t, "the new version counts", func() bool { return at() > begin+20 })
		cancel()
		wg.Wait()
	}
	for _, f := range failures {
		t.Error(f)
	}
}

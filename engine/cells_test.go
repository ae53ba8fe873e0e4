package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/ratelimit"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/poll"
)

// testLoad stands in for the kernel: it says how much of a processor the threads
// of each Worker's cells have had, and how much memory there is.
type testLoad struct {
	*testClock
	mu     sync.Mutex
	busy   map[string]float64 // by Worker
	idle   map[int]bool       // processes that do nothing all the same
	memory int64              // available, of 1 GiB
	used   map[*cell]time.Duration
	asked  map[*cell]time.Time
}

func newTestLoad() *testLoad {
	return &testLoad{
		testClock: newTestClock(), busy: map[string]float64{}, idle: map[int]bool{}, memory: 1 << 30,
		used: map[*cell]time.Duration{}, asked: map[*cell]time.Time{},
	}
}

func (l *testLoad) use(o *Options) {
	l.testClock.use(o)
	o.processors = 4
	o.thread = func(c *cell) (time.Duration, error) {
		now := l.now()
		l.mu.Lock()
		defer l.mu.Unlock()
		if at, ok := l.asked[c]; ok && !l.idle[c.proc.PID()] {
			l.used[c] += time.Duration(l.busy[c.version.Worker] * float64(now.Sub(at)))
		}
		l.asked[c] = now
		return l.used[c], nil
	}
	o.CellsMemory = 1 << 40
	o.machine = func() (available, total int64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.memory, 1 << 30
	}
}

func (l *testLoad) set(worker string, busy float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy[worker] = busy
}

func (l *testLoad) rest(pid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle[pid] = true
}

func (l *testLoad) work(pid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.idle, pid)
}

// pass lets time go by, looking at the load as often as the watchdog does. It has
// seen all of it when pass returns.
func (l *testLoad) pass(d time.Duration) {
	for ; d > 0; d -= loadInterval {
		l.advance(loadInterval)
		l.ticks <- l.now() // is taken when the other has been dealt with, and tells nothing new
	}
}

// names is a Worker that answers with the name of its process when it has read
// all of the request.
const names = `let name;
export default { async fetch(r) {
  await r.text();
  if (new URL(r.url).pathname === "/loop") for (;;);
  return new Response(name ??= crypto.randomUUID());
} }`

// hold keeps n requests to a Worker in flight until release is called, which
// returns the distinct answers.
func (b *bench) hold(worker string, n int) (release func() []string) {
	b.t.Helper()
	bodies := make([]*io.PipeWriter, n)
	answers := make(chan string, n)
	before := b.inFlight(worker)
	for i := range bodies {
		r, w := io.Pipe()
		bodies[i] = w
		go func() {
			res, err := b.server.Client().Post(b.server.URL+"/"+worker+"/", "text/plain", r)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			answers <- string(body)
		}()
	}
	poll.Until(b.t, "the requests are in flight", func() bool { return b.inFlight(worker) == before+n })
	release = sync.OnceValue(func() []string {
		var list []string
		for _, w := range bodies {
			w.Close()
		}
		for range bodies {
			list = append(list, <-answers)
		}
		slices.Sort(list)
		return slices.Compact(list)
	})
	b.t.Cleanup(func() { release() }) // before the server waits for them
	return release
}

func (b *bench) inFlight(worker string) (n int) {
	for _, c := range b.Cells() {
		if c.Worker == worker {
			n += c.InFlight
		}
	}
	return n
}

// cells waits until a Worker has so many that take requests and returns their
// pids, the oldest first.
func (b *bench) cells(worker string, n int) []int {
	b.t.Helper()
	var pids []int
	poll.Until(b.t, fmt.Sprintf("%d cells of %s run", n, worker), func() bool {
		var list []CellInfo
		for _, c := range b.Cells() {
			if c.Worker == worker && c.State == "running" {
				list = append(list, c)
			}
		}
		slices.SortFunc(list, func(a, b CellInfo) int { return a.Started.Compare(b.Started) })
		pids = nil
		for _, c := range list {
			pids = append(pids, c.PID)
		}
		return len(pids) == n
	})
	return pids
}

// A Worker that computes gets further cells, one after the other, up to its
// bound; requests go to those that have the fewest. When the load falls they go,
// the youngest first, and the last one stays.
func TestBusyWorkerGetsCells(t *testing.T) {
	load := newTestLoad()
	b := newBench(t, func(o *Options) { load.use(o); o.Cells = 3 })
	v := b.version("web", names)
	v.Limits.Cells = 4 // is no more than the server allows
	b.deploy(v)
	release := b.hold("web", 4)
	first := b.cells("web", 1)

	load.pass(2 * time.Second)
	b.cells("web", 1) // they wait, the thread does not

	load.set("web", 1)
	load.pass(time.Second)
	b.cells("web", 2)
	again := b.hold("web", 1)
	load.pass(time.Second)
	b.cells("web", 3)
	load.pass(5 * time.Second)
	b.cells("web", 3)
	if starts := b.Stats().Starts; starts != 3 {
		t.Errorf("%d cells were started", starts)
	}
	one, two := release(), again()
	if len(one) != 1 || len(two) != 1 || one[0] == two[0] {
		t.Errorf("the first requests were answered by %v, the next by %v", one, two)
	}

	load.set("web", 0)
	load.pass(shrinkAfter - time.Second)
	b.cells("web", 3) // not at once
	load.pass(4 * time.Second)
	b.cells("web", 2)
	load.pass(shrinkAfter + time.Second)
	if left := b.cells("web", 1); left[0] != first[0] {
		t.Error("the oldest cell was stopped")
	}
	load.pass(2 * shrinkAfter)
	b.cells("web", 1)
	poll.Until(t, "those that were stopped are gone", func() bool { return len(b.Cells()) == 1 })
}

// While one cell does not answer, requests go to another, also if that one has
// more of them.
func TestStuckCellGetsNoRequests(t *testing.T) {
	load := newTestLoad()
	b := newBench(t, func(o *Options) { load.use(o); o.DrainTimeout = 100 * time.Millisecond })
	b.deploy(b.version("web", names))
	release := b.hold("web", 2)
	load.set("web", 1)
	load.pass(time.Second)
	b.cells("web", 2)
	release()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.server.URL+"/web/loop", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if res, err := b.server.Client().Do(req); err == nil {
			res.Body.Close()
		}
	}()
	poll.Until(t, "the loop runs", func() bool { return b.inFlight("web") == 1 })
	poll.Until(t, "the loop is noticed", func() bool {
		load.pass(loadInterval)
		standings := b.standings("web")
		return len(standings) == 2 && standings[0] != stuck && standings[1] == stuck
	})
	b.hold("web", 2) // more than the stuck one has
	for range 3 {
		answer := make(chan string, 1)
		go func() {
			_, body, err := b.ask("/web/")
			answer <- fmt.Sprint(body, err)
		}()
		select {
		case <-answer:
		case <-time.After(poll.Patience):
			t.Fatal("a request waits for the stuck cell")
		}
	}
}

// standings are those of a Worker's cells, sorted.
func (b *bench) standings(worker string) (list []standing) {
	b.Engine.mu.Lock()
	defer b.Engine.mu.Unlock()
	for c := range b.Engine.cells {
		if c.version.Worker == worker {
			list = append(list, standing(c.standing.Load()))
		}
	}
	slices.Sort(list)
	return list
}

// What holds for one cell holds for several: a deployment, a tail and a further
// caller replace them all, and a crash costs the requests of one.
func TestSeveralCellsAreReplaced(t *testing.T) {
	grown := func(t *testing.T) (*bench, *testLoad) {
		load := newTestLoad()
		b := newBench(t, load.use)
		b.prepared(b.version("web", names))
		release := b.hold("web", 2)
		load.set("web", 1)
		load.pass(time.Second)
		b.cells("web", 2)
		load.set("web", 0)
		release()
		return b, load
	}
	t.Run("deployment", func(t *testing.T) {
		b, load := grown(t)
		stop := b.load("/web/", 4)
		v := b.version("web", strings.ReplaceAll(names, "crypto.randomUUID()", "'new'"))
		b.prepared(v)
		b.want("/web/", "new")
		load.pass(loadInterval)
		poll.Until(t, "one cell of the new version is all there is", func() bool {
			c := b.Cells()
			return len(c) == 1 && c[0].Version == v.ID
		})
		if n, err := stop(); err != nil {
			t.Errorf("%d requests, first failure: %v", n, err)
		}
	})
	t.Run("deployment without being prepared", func(t *testing.T) {
		b, _ := grown(t)
		stop := b.load("/web/", 4)
		v := b.deploy(b.version("web", strings.ReplaceAll(names, "crypto.randomUUID()", "'new'")))
		poll.Until(t, "one cell of the new version is all there is", func() bool {
			c := b.Cells()
			return len(c) == 1 && c[0].Version == v.ID
		})
		if n, err := stop(); err != nil {
			t.Errorf("%d requests, first failure: %v", n, err)
		}
	})
	t.Run("tail", func(t *testing.T) {
		b, load := grown(t)
		stop := b.load("/web/", 4)
		release := b.Observe("web")
		defer release()
		poll.Until(t, "only observed cells run", func() bool {
			return !slices.ContainsFunc(b.Cells(), func(c CellInfo) bool { return !c.Observed })
		})
		load.set("web", 1)
		b.hold("web", 2)
		load.pass(time.Second)
		b.cells("web", 2)
		for _, c := range b.Cells() {
			if !c.Observed {
				t.Error("a further cell is not observed")
			}
		}
		if n, err := stop(); err != nil {
			t.Errorf("%d requests, first failure: %v", n, err)
		}
	})
	t.Run("crash", func(t *testing.T) {
		b, _ := grown(t)
		stop := b.load("/web/", 4)
		pids := b.cells("web", 2)
		syscall.Kill(pids[0], syscall.SIGKILL)
		if left := b.cells("web", 1); left[0] != pids[1] {
			t.Error("the other one was replaced as well")
		}
		if n, err := stop(); err != nil { // GETs are sent again
			t.Errorf("%d requests, first failure: %v", n, err)
		}
		if s := b.Stats(); s.Starts != 2 || s.Crashes != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A further cell that does not start harms nobody, and is not tried again at
// once.
func TestFurtherCellDoesNotStart(t *testing.T) {
	load := newTestLoad()
	var broken atomic.Bool
	var tries atomic.Int64
	b := newBench(t, func(o *Options) {
		load.use(o)
		binary := o.Binary
		o.Binary = func(ctx context.Context) (string, error) {
			if broken.Load() {
				tries.Add(1)
				return "/nothing/workerd", nil
			}
			return binary(ctx)
		}
	})
	b.deploy(b.version("web", names))
	release := b.hold("web", 2)
	broken.Store(true)
	load.set("web", 1)
	load.pass(furtherRetry)
	b.cells("web", 1)
	if list := release(); len(list) != 1 {
		t.Errorf("answers %q", list)
	}
	if status, _, err := b.ask("/web/"); status != http.StatusOK || err != nil {
		t.Errorf("%d %v", status, err)
	}
	if n := tries.Load(); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
}

// What keeps a busy Worker to one cell.
func TestOneCell(t *testing.T) {
	for name, change := range map[string]func(*Options, *testLoad, *config.Version){
		"by configuration":     func(o *Options, _ *testLoad, _ *config.Version) { o.Cells = 1 },
		"by its own limits":    func(_ *Options, _ *testLoad, v *config.Version) { v.Limits.Cells = 1 },
		"the machine's memory": func(_ *Options, l *testLoad, _ *config.Version) { l.memory = 1<<30/scarceMemory - 1 },
		"cells_memory":         func(o *Options, _ *testLoad, _ *config.Version) { o.CellsMemory = 1 << 20 },
		"one processor":        func(o *Options, _ *testLoad, _ *config.Version) { o.processors = 1 },
		"DevTools can attach": func(o *Options, _ *testLoad, _ *config.Version) {
			o.InspectorAddr = func(string) string { return "127.0.0.1:0" }
		},
		"it has Durable Objects and no RPC": func(_ *Options, _ *testLoad, v *config.Version) {
			v.CompatibilityDate = "2024-04-02"
			v.Classes = []config.Class{{Name: "C", SQLite: true, Key: "web-C"}}
			v.Code = config.Modules{{Name: "index.js", Type: config.ESModule, Data: []byte("import { DurableObject } from 'cloudflare:workers';\nexport class C extends DurableObject {}\n" + names)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			load := newTestLoad()
			v := &config.Version{}
			b := newBench(t, func(o *Options) { load.use(o); change(o, load, v) })
			made := b.version("web", names)
			made.Limits = v.Limits
			if v.Classes != nil {
				made.Classes, made.Code, made.CompatibilityDate = v.Classes, v.Code, v.CompatibilityDate
			}
			b.deploy(made)
			release := b.hold("web", 4)
			load.set("web", 1)
			load.pass(3 * time.Second)
			release()
			if starts := b.Stats().Starts; starts != 1 {
				t.Errorf("%d cells were started", starts)
			}
		})
	}
}

// A Worker that has all processors gives them up when another one needs some,
// and when memory runs out.
func TestHotTenantsShare(t *testing.T) {
	load := newTestLoad()
	b := newBench(t, load.use)
	for _, name := range []string{"a", "b"} {
		b.deploy(b.version(name, names))
		b.hold(name, 8)
	}
	load.set("a", 1)
	grow := func(worker string, n int) {
		t.Helper()
		for i := 2; i <= n; i++ {
			load.pass(time.Second)
			b.cells(worker, i)
			b.hold(worker, 8) // the new one takes them
		}
	}
	grow("a", 4)
	load.set("b", 1)
	load.pass(2*yieldAfter + time.Second)
	b.cells("b", 2)
	b.cells("a", 2)
	load.pass(10 * time.Second)
	b.cells("a", 2)
	b.cells("b", 2)

	load.mu.Lock()
	load.memory = 1 << 20
	load.mu.Unlock()
	load.pass(yieldAfter + time.Second)
	b.cells("a", 1)
	b.cells("b", 1)
}

// A further cell of a Worker that others call gets its part of the calls: they
// keep their connections, so the cell that has them is replaced by one more.
func TestCallsSpread(t *testing.T) {
	load := newTestLoad()
	b := newBench(t, func(o *Options) { load.use(o); o.StuckAfter = time.Hour }) // minutes pass in no time
	b.deploy(b.version("callee", strings.Replace(names, "await r.text();", "for (let i = 0; i < 3e6; i++) name;", 1)))
	b.deploy(b.version("front", `export default { fetch(r, env) { return env.C.fetch(r) } }`,
		bound(t, "C", "service", map[string]any{"service": "callee"})))
	if status, _, err := b.ask("/front/"); status != http.StatusOK {
		t.Fatal(status, err)
	}
	load.set("callee", 1)
	stop := b.load("/front/", 8)
	load.pass(time.Second)
	pids := b.cells("callee", 2)
	both := func() bool { // who accepts a connection is chance
		answers := map[string]bool{}
		for range 64 {
			_, body, _ := b.ask("/front/")
			answers[body] = true
		}
		return len(answers) == 2
	}
	for try := range shareTries {
		load.rest(pids[1-try%2])
		load.pass(shareAgain)
		poll.Until(t, "the cell with the connections is replaced", func() bool { return !process(pids[try%2]) })
		now := b.cells("callee", 2)
		if now[0] != pids[1-try%2] {
			t.Errorf("cells %v have become %v", pids, now)
		}
		load.work(pids[1-try%2])
		if pids = now; both() {
			break
		} else if try+1 == shareTries {
			t.Error("one cell answers all calls")
		}
	}
	if n, err := stop(); err != nil {
		t.Errorf("%d requests, first failure: %v", n, err)
	}
	// Cells that all work stay.
	starts := b.Stats().Starts
	load.pass(shareAgain)
	if again := b.Stats().Starts; again != starts {
		t.Errorf("%d more cells were started", again-starts)
	}
}

// Whichever cell of a version does the work: its lines, tail events and the list
// of cells tell of it, and a rate limit counts for all together.
func TestSeveralCellsAreOneWorker(t *testing.T) {
	load := newTestLoad()
	limit := ratelimit.Kinds()
	if err := limit[0].(binding.Opener).Open(binding.Home{Now: load.now}); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, func(o *Options) { load.use(o); o.Cells = 3; o.Observe = true; o.Kinds = append(o.Kinds, limit...) })
	v := b.deploy(b.version("web", `export default { async fetch(r, env) {
  await r.text();
  console.log("said");
  return new Response(String((await env.LIMIT.limit({ key: "k" })).success));
} }`, bound(t, "LIMIT", "ratelimit", map[string]any{"namespace_id": "1", "simple": map[string]any{"limit": 5, "period": 60}})))
	first := b.hold("web", 4) // in the first cell
	load.set("web", 1)
	load.pass(time.Second)
	pids := b.cells("web", 2)
	second := b.hold("web", 4) // in the second
	for _, c := range b.Cells() {
		if !slices.Contains(pids, c.PID) || c.Version != v.ID || c.InFlight != 4 {
			t.Errorf("listed: %+v, of %v", c, pids)
		}
	}
	if one, two := first(), second(); !slices.Equal(one, []string{"true"}) || !slices.Equal(two, []string{"false", "true"}) {
		t.Errorf("five of eight are allowed: %v, %v", one, two)
	}
	poll.Until(t, "lines and invocations of all requests", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		lines, told := 0, 0
		for _, l := range b.lines {
			if l.Message == "said" && l.Version == v.ID {
				lines++
			}
		}
		for _, i := range b.invocations {
			if i.ScriptName == "web" && i.Outcome == "ok" && len(i.Logs) == 1 {
				told++
			}
		}
		return lines == 8 && told == 8
	})
}

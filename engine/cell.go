package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/cgroup"
	"github.com/selvage-edge/selvage/engine/sandbox"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/telemetry"
)

// cell is one running process of one version.
type cell struct {
	pool       *pool
	version    *config.Version
	proc       *workerd.Process
	plan       *plan
	generation uint64
	// further: one more cell of a version with Durable Objects, which has none of
	// them; see further.go.
	further bool
	started time.Time
	hop     *hop.Hop     // to the user's fetch socket
	events  *http.Client // to the shim
	objects *hop.Hop     // to Durable Objects, through the shim

	inFlight atomic.Int64
	// requests are those in flight, to wait for; sockets those of them that
	// have become WebSockets.
	requests, sockets sync.WaitGroup
	upgraded          atomic.Int64
	// switched: it has had a WebSocket.
	switched atomic.Bool
	// restart ends the WebSockets, whose clients are told to connect again.
	restart hop.Restart
	// draining: its pool gives it out no more, and it is ended once its work is
	// done. stopping closes when no new connection is taken.
	draining  atomic.Bool
	drainOnce sync.Once
	stopping  chan struct{}
	// over closes when the process is gone and nobody lists the cell any more.
	over     chan struct{}
	stopOnce sync.Once
	// calm: it has done nothing for long already. Set before draining.
	calm bool
	// hurried closes when somebody waits for the end of the drain; see hurry.
	hurried   chan struct{}
	hurryOnce sync.Once
	// verdict is why we killed it; nil when we did not.
	verdict atomic.Pointer[fault.Fault]
	// outOfMemory: V8 said so as it died.
	outOfMemory atomic.Bool
	// ended is what launch gave.
	ended func() cgroup.Events
	// uncaught are the exceptions that were told of and come once more, in the
	// runtime's line of level error; noted those that invocation.js has told of
	// and the runtime's note has not. Only line uses them.
	uncaught, noted heads
	// logged is what its invocations have. Only line uses it.
	logged logLimit

	// looked: its tail Worker, if it has one, reports. lookMu is held while that
	// changes, and is locked before the worker's mutex.
	looked atomic.Bool
	lookMu sync.Mutex

	watch watched // of the watchdog alone
	load  load    // likewise
	// standing is one of the constants of that type.
	standing atomic.Int32
}

// newCell builds the configuration of the pool's version and starts it.
func newCell(ctx context.Context, p *pool, further bool) (*cell, error) {
	e := p.w.e
	binary, err := e.o.Binary(ctx)
	if err != nil {
		return nil, err
	}
	var locks []*os.File
	if p.durable() && !further {
		if locks, err = e.lockObjects(ctx, p.version); err != nil {
			return nil, err
		}
		defer closeAll(locks) // the process has its own by then
	}
	for {
		c, err := tryCell(ctx, p, binary, locks, further)
		// An entrypoint that another Worker names but this one does not export
		// is the other's mistake: its calls get an error, this one runs.
		var se *workerd.StartError
		if errors.As(err, &se) {
			if name, ok := absentEntrypoint(se.Message); ok && !p.absent[name] {
				p.absent[name] = true
				continue
			}
			if class, ok := absentClass(se.Message); ok {
				se.Message = notExported(class, p.version)
			}
		}
		return c, err
	}
}

func tryCell(ctx context.Context, p *pool, binary string, locks []*os.File, further bool) (_ *cell, err error) {
	e := p.w.e
	objects := e.objectsDir(p.version.Worker)
	switch {
	case further:
		objects = ""
	case p.durable():
		if err := e.overQuota(p.version.Worker); err != nil {
			return nil, err
		}
	}
	peers, generation, looking, err := p.w.sockets(p)
	if err != nil {
		return nil, err
	}
	inspector := e.inspectorAddr(p.version.Worker)
	pl, err := e.plan(ctx, p.version, planOptions{
		peers: peers, observed: looking || p.durable(), looking: looking, absent: p.absent, standIn: p.standIn, objects: objects, further: further, inspected: inspector != "",
	})
	if err != nil {
		return nil, err
	}
	c := &cell{pool: p, version: p.version, plan: pl, generation: generation, further: further, stopping: make(chan struct{}), hurried: make(chan struct{}), over: make(chan struct{})}
	defer func() {
		if err != nil {
			pl.discard()
		}
	}()
	options := workerd.Options{Binary: binary, Config: pl.config, Sockets: pl.sockets, Lines: c.line, InspectorAddr: inspector, Exceptions: e.o.Exceptions}
	options.ExtraFiles = append(options.ExtraFiles, locks...)
	ctx, cancel := context.WithTimeoutCause(ctx, e.o.StartTimeout,
		fmt.Errorf("not ready after %v; is there an endless loop at the top level of the script?", e.o.StartTimeout))
	defer cancel()
	if c.proc, c.ended, err = e.begin(ctx, pl, p.version, objects, options); err != nil {
		return nil, err
	}
	pl.closeOwn()
	e.starts.Add(1)
	e.beginOnce.Do(func() { close(e.begun) })
	c.looked.Store(looking)
	c.started = e.o.clock.now()
	c.watch.lastActive = c.started
	c.hop = hop.New(hop.Options{Dial: dialUnix(pl.userSocket), Single: true})
	c.events = shimClient(pl)
	c.objects = hop.New(hop.Options{Dial: dialUnix(pl.eventSocket), Single: true})
	e.add(c)
	e.o.Logger.Debug("cell started", "worker", c.version.Worker, "version", c.version.ID, "pid", c.proc.PID(), "took", c.proc.StartTime)
	return c, nil
}

// inspectorAddr is where the Worker's cell speaks to DevTools; empty for nowhere.
func (e *Engine) inspectorAddr(worker string) string {
	if e.o.InspectorAddr == nil {
		return ""
	}
	return e.o.InspectorAddr(worker)
}

// cpuTopology is read by workerd's memory allocator at start.
const cpuTopology = "/sys/devices/system/cpu"

// confine says how a process of v with that configuration is confined; nil for
// not at all. objects is the folder of its Durable Objects.
func (e *Engine) confine(v *config.Version, c *workerd.Config, objects string, network bool) func(*exec.Cmd) error {
	if !e.o.Confine {
		return nil
	}
	policy := sandbox.Policy{ReadOnly: []string{cpuTopology}, Network: network}
	for _, s := range c.Services {
		if s.External != nil {
			policy.Connect = append(policy.Connect, strings.TrimPrefix(s.External.Address, "unix:"))
		}
	}
	if len(v.Classes) > 0 && objects != "" {
		policy.ReadWrite = []string{objects}
	}
	return policy.Prepare
}

func dialUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// retain and release bracket a request. retain is called only while the cell
// is one of those that its pool gives out, so none comes after drain has begun.
func (c *cell) retain() {
	c.inFlight.Add(1)
	c.requests.Add(1)
}

func (c *cell) release() {
	c.inFlight.Add(-1)
	c.requests.Done()
}

// upgrade is called when a retained request has become a WebSocket; release it
// by releaseSocket.
func (c *cell) upgrade() {
	c.switched.Store(true)
	c.upgraded.Add(1)
	c.sockets.Add(1)
	c.requests.Done()
}

func (c *cell) releaseSocket() {
	c.inFlight.Add(-1)
	c.upgraded.Add(-1)
	c.sockets.Done()
}

// current: its pool gives it out.
func (c *cell) current() bool {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return slices.Contains(c.pool.cells, c)
}

// kill ends the cell at once; its requests fail with f.
func (c *cell) kill(f *fault.Fault) {
	if c.verdict.CompareAndSwap(nil, f) {
		c.proc.Kill()
	}
}

// gone cleans up after the process.
func (c *cell) gone() {
	c.stopOnce.Do(func() { close(c.stopping) })
	c.hop.Close()
	c.objects.Close()
	c.plan.discard()
	c.ended()
	c.pool.w.e.remove(c)
	close(c.over)
	if c.home() {
		c.pool.w.e.loops.Go(func() { c.pool.w.e.recovery.ended(c.version) })
	}
}

// cause says why the process ended, once it has.
func (c *cell) cause() error {
	if f := c.verdict.Load(); f != nil {
		return f
	}
	if c.exceededMemory() {
		return memoryExceeded
	}
	if c.ended().Killed > 0 {
		return fault.Unavailable.With("The server has run out of memory.", errors.New("the kernel killed the process, which was below its own limit: all Workers together need more than there is"))
	}
	if err := c.proc.Wait(); err != nil {
		return fault.Unavailable.With("The Worker's process crashed while it handled the request.", err)
	}
	return fault.Unavailable.With("The Worker's process ended while it handled the request.", nil)
}

var memoryExceeded = fault.ExceededCPU.With("The Worker exceeded its memory limit.", nil)

// heads are the first lines of stacks. It is not safe for concurrent use.
type heads []string

// maxHeads bounds heads; the oldest are forgotten first.
const maxHeads = 64

func (h *heads) add(text string) {
	if *h = append(*h, headOfStack(text)); len(*h) > maxHeads {
		*h = (*h)[1:]
	}
}

// take removes the head of text, and reports whether it was there.
func (h *heads) take(text string) bool {
	i := slices.Index(*h, headOfStack(text))
	if i < 0 {
		return false
	}
	*h = slices.Delete(*h, i, i+1)
	return true
}

// line takes one line of the process's output.
func (c *cell) line(l workerd.Line) {
	e := c.pool.w.e
	ray := ""
	if !l.Runtime {
		var uncaught bool
		if l.Message, ray, uncaught = c.plan.mark.line(l.Message); uncaught {
			l.Message = cutLog(l.Message)
			c.uncaught.add(l.Message)
			if e.o.Exceptions {
				c.noted.add(l.Message)
			}
			l.Runtime, l.Message = true, e.o.MapStack(c.version, "Uncaught "+l.Message)
		}
		l.Message = withoutOwnFrames(l.Message)
		if !uncaught {
			ok, last := c.logged.add(ray, len(l.Message))
			if !ok && !last {
				return
			}
			if last {
				l.Level, l.Message = "warn", telemetry.LogLimitExceeded
			}
		}
	} else if text, ok := l.Exception(); ok {
		text = withoutOwnFrames(cutLog(text))
		if c.noted.take(text) {
			return
		}
		c.uncaught.add(text)
		l.Level, l.Message = "error", e.o.MapStack(c.version, "Uncaught "+text)
	} else if l.Level == "info" {
		return // a note for the runtime's developers
	} else {
		// workerd's own text when V8 gives up.
		if strings.Contains(l.Message, "heap out of memory") || strings.Contains(l.Message, "OOM") {
			c.outOfMemory.Store(true)
		}
		l.Message = plainException(l.Message)
		// The runtime's line about an exception that we have already told of,
		// with its stack.
		told := cutLog(strings.TrimPrefix(l.Message, "Uncaught "))
		if c.uncaught.take(told) || c.uncaught.take(strings.TrimPrefix(told, "Error: ")) { // what is no Error becomes one
			return
		}
		l.Message = e.o.MapStack(c.version, l.Message)
	}
	e.o.Lines(telemetry.Line{
		Time: l.Time, Worker: c.version.Worker, Version: c.version.ID, Ray: ray, Level: l.Level, Message: cutLog(l.Message), Runtime: l.Runtime,
	})
}

func (c *cell) info() CellInfo {
	i := CellInfo{
		Worker: c.version.Worker, Version: c.version.ID, PID: c.proc.PID(), State: "running",
		InFlight: int(c.inFlight.Load()), Started: c.started, StartTime: c.proc.StartTime, Observed: c.looked.Load(),
		Outline: c.plan.outline,
	}
	if c.draining.Load() {
		i.State = "draining"
	}
	c.pool.mu.Lock()
	i.Restarts = c.pool.restarts
	c.pool.mu.Unlock()
	if u, err := c.proc.Usage(); err == nil {
		i.Memory, i.CPU = u.Memory, u.CPU
	}
	if port := c.proc.Ports["inspector"]; port != 0 {
		i.Inspector = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return i
}

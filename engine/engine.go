// Package engine decides which Worker version runs in which process and brings
// requests and events to it.
//
// A cell is one workerd process that runs one version. Cells start when they
// are needed and stop when they are not, several for a version that is busy; a
// new version takes over from the old one without a request being lost; a cell
// that hangs, grows or crashes is replaced and only its own requests fail.
//
// What a request sees:
//   - [Engine.Dispatch] picks the version by the deployment's percentages.
//   - The version's least busy cell takes it. If there is none, one is started
//     first. A deployment that was made with [Engine.Prepare] has its cells
//     already. One that comes in a snapshot without it has none yet: then the
//     previous version, if it still runs, takes the requests until the new one
//     listens.
//   - The Durable Objects of a Worker are open in one cell: the old one is
//     drained fully before the new one starts, and requests wait.
//
// Lock order: Engine.updating, Engine.mu, worker.mu, pool.mu. None is held while a process is
// started or waited for.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/cgroup"
	"github.com/selvage-edge/selvage/engine/program"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/telemetry"
)

// Options configure an Engine. Binary and Source are required.
type Options struct {
	// Binary finds workerd, see workerd.Binary. It is asked at each start of a cell.
	Binary func(ctx context.Context) (string, error)
	// Dir is the data directory; Durable Objects live in Dir/do/<worker>.
	// Empty: in a temporary directory that Close removes.
	Dir string
	// Source says which Workers there are.
	Source config.Source
	// Kinds are the kinds of binding a Worker may have.
	Kinds []binding.Kind
	// MakeMissing makes the resources that bindings name and that do not exist,
	// where their kind can, before they are mounted. Otherwise a missing one
	// keeps the version from starting.
	MakeMissing bool
	// Programs are the Workers in Go. A snapshot says when they are deployed;
	// their versions have no code.
	Programs []*program.Worker
	// Egress answers the fetch() and connect() calls of a version. The scheme
	// of the URL is in hop.ProtoHeader. Nil refuses them all.
	Egress func(v *config.Version) http.Handler
	// Cache answers the Cache API of a version in workerd's protocol
	// (cacheApiOutbound). Nil: nothing is ever found, as on workers.dev.
	Cache func(v *config.Version) http.Handler
	// Observe gives every cell a tail Worker, so that Invocations is always
	// told; otherwise only while Engine.Observe asks, because it costs the cell
	// about as much as a small request.
	Observe bool
	// Exceptions tells Lines of each exception that a Worker does not catch, also
	// of those that end no handler: of waitUntil(), timers and listeners.
	Exceptions bool
	// Lines receives what Workers and cells write. May be nil.
	Lines func(telemetry.Line)
	// Invocations receives tail events. May be nil.
	Invocations func(telemetry.Invocation)
	// Calls is told of each call of a Worker to a binding that we serve, and to
	// the network. May be nil.
	Calls func(telemetry.Call)
	// Events is told of each event that was sent to a Worker. May be nil.
	Events func(telemetry.Event)
	// MapStack rewrites the positions in a stack or error text to those of the
	// user's sources. May be nil.
	MapStack func(v *config.Version, stack string) string
	// StuckAfter is how long a cell may leave a ping unanswered before it is
	// replaced. Default 30 s.
	StuckAfter time.Duration
	// IdleAfter is how long a cell runs without requests and without using the
	// processor before it is stopped. Default 5 min. Negative: for ever.
	IdleAfter time.Duration
	// StartTimeout bounds the start of a cell. Default 30 s.
	StartTimeout time.Duration
	// DrainTimeout bounds how long an old cell may finish its requests. Default 10 s.
	DrainTimeout time.Duration
	// Cells bounds how many cells one version may have; its own limits may say
	// less. Default: as many as the processors that Go uses, which bound those of
	// all busy versions together, too. Of a version with Durable Objects one has
	// the objects. Versions that DevTools can attach to have one cell.
	Cells int
	// InspectorAddr gives the address on which a Worker's cell speaks the
	// DevTools protocol; empty for none. Two generations of a cell overlap, so
	// use port 0 ("127.0.0.1:0") and read the port from Cells. May be nil.
	InspectorAddr func(worker string) string
	// MaxMemory is the resident memory, in bytes, beyond which a cell is
	// replaced. Default 512 MiB. A quarter of it bounds the JavaScript heap.
	MaxMemory int64
	// CellsMemory is the resident memory of all cells together, in bytes, above
	// which those stop that have been idle longest. Pages that cells share count
	// in each. Default: three quarters of the machine's memory.
	CellsMemory int64
	// ObjectsQuota is the size of one Durable Object, in bytes, above which its
	// Worker is stopped and not started; see measureEvery. Default 10 GB, which is
	// Cloudflare's.
	ObjectsQuota int64
	// WorkerObjectsQuota is the same for all Durable Objects of one Worker
	// together. Zero: no bound.
	WorkerObjectsQuota int64
	// HistoryQuota bounds the earlier states of one Durable Object that are kept for
	// point-in-time recovery, in bytes; over it the oldest are dropped. Default 1 GiB.
	HistoryQuota int64
	// Cgroups, when not nil, bound the memory of cells by the kernel, too, a
	// little above MaxMemory; see kernelRoom.
	Cgroups *cgroup.Tree
	// Spare keeps one process ahead of need once a cell has started, so that the
	// next one starts in half the time. It holds 5 MB of its own, and is replaced
	// every half minute. Where the system has no leases on files, nothing is kept.
	Spare bool
	// Confine takes from cells what they do not need: network, files, privileges,
	// system calls, as far as the machine can; see package sandbox.
	Confine bool
	// Logger of the engine's own events. Default slog.Default().
	Logger *slog.Logger

	// Of the system, except in tests.
	clock      clock
	machine    func() (available, total int64) // memory
	processors int
	thread     func(*cell) (time.Duration, error) // processor time of a cell's own thread
}

func (o Options) withDefaults() Options {
	duration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	duration(&o.StuckAfter, 30*time.Second)
	duration(&o.IdleAfter, 5*time.Minute)
	duration(&o.StartTimeout, 30*time.Second)
	duration(&o.DrainTimeout, 10*time.Second)
	if o.MaxMemory == 0 {
		o.MaxMemory = 512 << 20
	}
	if o.ObjectsQuota == 0 {
		o.ObjectsQuota = 10 << 30
	}
	if o.HistoryQuota == 0 {
		o.HistoryQuota = 1 << 30
	}
	if o.machine == nil {
		o.machine = machineMemory
	}
	if o.CellsMemory == 0 {
		_, total := o.machine()
		o.CellsMemory = total / 4 * 3
	}
	if o.CellsMemory == 0 { // the machine does not tell
		o.CellsMemory = math.MaxInt64
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.clock.now == nil {
		o.clock = systemClock
	}
	if o.processors == 0 {
		o.processors = runtime.GOMAXPROCS(0)
	}
	if o.Cells == 0 {
		o.Cells = o.processors
	}
	if o.thread == nil {
		o.thread = func(c *cell) (time.Duration, error) { return c.proc.Thread() }
	}
	if o.Lines == nil {
		o.Lines = func(telemetry.Line) {}
	}
	if o.Invocations == nil {
		o.Invocations = func(telemetry.Invocation) {}
	}
	if o.MapStack == nil {
		o.MapStack = func(_ *config.Version, s string) string { return s }
	}
	if o.Egress == nil {
		o.Egress = func(*config.Version) http.Handler { return http.HandlerFunc(noEgress) }
	}
	if o.Cache == nil {
		o.Cache = func(*config.Version) http.Handler { return http.HandlerFunc(emptyCache) }
	}
	return o
}

// Engine runs Workers. It is safe for concurrent use.
type Engine struct {
	o        Options
	kinds    binding.Kinds
	fronter  binding.Fronter // nil without one among the kinds
	programs *program.Host
	recovery *recovery
	run      *runDir
	bindings *bindings

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	stop   func() // ends the subscription
	loops  sync.WaitGroup

	starts, crashes, waiting atomic.Int64 // see Stats

	updating sync.Mutex // so that an older snapshot never follows a newer one

	mu      sync.Mutex
	closed  bool
	workers map[string]*worker
	callees map[*config.Version][]binding.Reference
	keys    map[class]string // of the current snapshot
	cells   map[*cell]bool   // all that run, draining ones included
	// spares gives out the spare process, if there is one.
	spares chan *spare
	// begun closes when the first cell has started.
	begun     chan struct{}
	beginOnce sync.Once
}

// New starts an engine. It starts no cell before one is needed, except those
// of Workers whose Durable Objects wait for an alarm.
func New(o Options) (*Engine, error) {
	if o.Binary == nil || o.Source == nil {
		return nil, errors.New("start engine: Binary and Source are required")
	}
	e := &Engine{
		o:       o.withDefaults(),
		kinds:   binding.ByType(o.Kinds),
		workers: map[string]*worker{},
		cells:   map[*cell]bool{},
		spares:  make(chan *spare, 1),
		begun:   make(chan struct{}),
	}
	for _, k := range o.Kinds {
		if f, ok := k.(binding.Fronter); ok {
			e.fronter = f
		}
	}
	var err error
	if e.run, err = newRunDir(); err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	if e.o.Dir == "" {
		e.o.Dir = e.run.path
	}
	if e.o.Dir, err = filepath.Abs(e.o.Dir); err != nil {
		e.run.remove()
		return nil, fmt.Errorf("start engine: %w", err)
	}
	if e.bindings, err = serveBindings(e.run.socket("b"), e.o.Logger); err != nil {
		e.run.remove()
		return nil, fmt.Errorf("start engine: %w", err)
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.recovery = newRecovery(e)
	e.programs = e.host()
	// Nothing between the two is missed: the same snapshot twice changes nothing.
	e.stop = o.Source.Subscribe(func(*config.Snapshot) { e.update() })
	e.update()
	e.observeTails()
	e.loops.Go(e.watch)
	if o.Spare {
		e.loops.Go(e.keepSpare)
	}
	return e, nil
}

// update makes the engine follow the current snapshot.
func (e *Engine) update() {
	e.updating.Lock()
	defer e.updating.Unlock()
	s := e.o.Source.Current()
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	callees := map[*config.Version][]binding.Reference{}
	for _, c := range s.Workers {
		for _, v := range versions(c) {
			peers, known := e.callees[v]
			if !known {
				peers = e.peersOf(v)
			}
			callees[v] = peers
			for _, p := range peers {
				p = follow(s, p)
				if err := e.workerLocked(p.Worker).listen(p); err != nil {
					e.o.Logger.Error("service binding cannot be served", "worker", p.Worker, "caller", v.Worker, "err", err)
				}
			}
		}
	}
	e.callees = callees
	keys := classes(s)
	replaced := changed(e.keys, keys)
	e.keys = keys
	for name := range s.Workers {
		e.workerLocked(name)
	}
	all := make(map[*worker]*config.Worker, len(e.workers))
	for name, w := range e.workers {
		all[w] = s.Workers[name]
	}
	e.mu.Unlock()
	for w, c := range all {
		w.update(c)
	}
	if len(replaced) > 0 {
		for w := range all {
			w.follow(replaced)
		}
	}
}

// peersOf says which other Workers a version calls, and where.
func (e *Engine) peersOf(v *config.Version) []binding.Reference {
	var peers []binding.Reference
	for _, b := range v.Bindings {
		for _, r := range e.kinds.Refer(b) {
			if r.Worker == "" && slices.Contains(v.Lost, r.Class) {
				r.Worker = v.Worker
				peers = append(peers, r)
			}
			if r.Worker != "" && r.Worker != v.Worker && e.programs.Find(r.Worker) == nil {
				peers = append(peers, r)
			}
		}
	}
	return peers
}

// versions lists the versions of a Worker that can be asked for.
func versions(c *config.Worker) []*config.Version {
	var list []*config.Version
	for _, s := range c.Shares {
		list = append(list, s.Version)
	}
	return append(list, c.Previews...)
}

// workerLocked returns the worker of that name, deployed or not.
func (e *Engine) workerLocked(name string) *worker {
	w := e.workers[name]
	if w == nil {
		w = &worker{e: e, name: name, pools: map[string]*pool{}, peers: map[peerKey]*peerSocket{}}
		e.workers[name] = w
	}
	return w
}

// lookup returns a Worker of the current snapshot.
func (e *Engine) lookup(name string) (*worker, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, fault.Unavailable.With("The server is shutting down.", nil)
	}
	w := e.workers[name]
	if w == nil || !w.deployed() {
		return nil, fault.NotConfigured.With(fmt.Sprintf("There is no Worker named %q here.", name), nil)
	}
	return w, nil
}

// Start starts the cells of the Worker's current deployment and returns when
// they listen, or with the first error. It is for deployments that were made
// without Prepare.
func (e *Engine) Start(ctx context.Context, worker string) error {
	w, err := e.lookup(worker)
	if err != nil {
		return err
	}
	return w.start(ctx)
}

// Observe gives the Worker's cells a tail Worker until release is called,
// replacing cells that run without.
func (e *Engine) Observe(worker string) (release func()) {
	e.mu.Lock()
	w := e.workerLocked(worker)
	e.mu.Unlock()
	w.observe(+1)
	return sync.OnceFunc(func() { w.observe(-1) })
}

// Stats are counts since the engine was made.
type Stats struct {
	// Starts are cells that became ready, Crashes those that ended unexpectedly.
	Starts, Crashes int
	// Waiting is how many requests and events wait for a cell to start now.
	Waiting int
}

// Stats returns the engine's counts.
func (e *Engine) Stats() Stats {
	return Stats{Starts: int(e.starts.Load()), Crashes: int(e.crashes.Load()), Waiting: int(e.waiting.Load())}
}

// CellInfo describes a running cell.
type CellInfo struct {
	Worker, Version string
	PID             int
	// State is "running" or "draining".
	State string
	// Memory is the resident set in bytes; CPU the processor time used.
	Memory int64
	CPU    time.Duration
	// InFlight is the number of requests and events it handles for us; calls
	// from other cells are not counted.
	InFlight int
	// Started is when it was ready, StartTime how long that took.
	Started   time.Time
	StartTime time.Duration
	// Restarts counts the crashes of this version's cells.
	Restarts int
	// Inspector is the address of the DevTools protocol, if any.
	Inspector string
	// Observed: it has a tail Worker.
	Observed bool
	// Outline is workerd's configuration without secrets, see
	// [workerd.Config.Outline].
	Outline string
}

// Cells lists the cells that run, by Worker and pid.
func (e *Engine) Cells() []CellInfo {
	e.mu.Lock()
	cells := make([]*cell, 0, len(e.cells))
	for c := range e.cells {
		cells = append(cells, c)
	}
	e.mu.Unlock()
	infos := make([]CellInfo, 0, len(cells))
	for _, c := range cells {
		infos = append(infos, c.info())
	}
	slices.SortFunc(infos, func(a, b CellInfo) int {
		if n := strings.Compare(a.Worker, b.Worker); n != 0 {
			return n
		}
		return a.PID - b.PID
	})
	return infos
}

// Close stops all cells: they finish their requests until DrainTimeout or ctx
// ends. No cell runs when it returns.
func (e *Engine) Close(ctx context.Context) error {
	// What Programs are doing may need the cells.
	_ = e.programs.Wait(ctx)
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	workers := make([]*worker, 0, len(e.workers))
	for _, w := range e.workers {
		workers = append(workers, w)
	}
	e.mu.Unlock()
	e.stop()
	e.cancel() // first, so that the cells know they are waited for
	for _, w := range workers {
		w.close()
	}
	done := make(chan struct{})
	go func() { e.loops.Wait(); close(done) }()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("close engine: requests were cut off: %w", context.Cause(ctx))
		e.mu.Lock()
		for c := range e.cells {
			c.proc.Kill()
		}
		e.mu.Unlock()
		<-done
	}
	for _, w := range workers {
		for _, s := range w.peers {
			s.file.Close() // now that no start hands it on
		}
	}
	err = errors.Join(err, e.programs.Close(ctx))
	e.bindings.close()
	e.run.remove()
	return err
}

// add and remove keep the list of running cells.
func (e *Engine) add(c *cell) {
	e.mu.Lock()
	e.cells[c] = true
	e.mu.Unlock()
}

func (e *Engine) remove(c *cell) {
	e.mu.Lock()
	delete(e.cells, c)
	e.mu.Unlock()
}

// Package platform is the one place where everything is put together: stores,
// kinds of binding, engine, egress and edge are opened here in order and
// closed in the reverse one.
package platform

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/edge/http1"
	"github.com/selvage-edge/selvage/egress"
	"github.com/selvage-edge/selvage/engine"
	"github.com/selvage-edge/selvage/engine/cgroup"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/mail"
	"github.com/selvage-edge/selvage/project/manifest"
	"github.com/selvage-edge/selvage/ruleset"
	"github.com/selvage-edge/selvage/s3"
	"github.com/selvage-edge/selvage/telemetry"
)

// Options configure a Platform. Data is required.
type Options struct {
	// Data is the data directory; it is created if it is missing.
	Data string
	// Source says what should run. Nil: what was deployed through the REST API.
	Source config.Source
	// WorkersDomain is the suffix under which deployed Workers answer. Default
	// "localhost".
	WorkersDomain string
	// Scheme and Port are where Workers answer, for the URLs that the REST API
	// shows: "https" and ":8443". Default "http" and no port.
	Scheme, Port string
	// Dev shows the causes of errors to clients, and to Workers what wrangler's
	// local simulator shows them.
	Dev bool
	// CreateMissing makes KV namespaces, D1 databases and their like when a
	// Worker that names them starts; see binding.Maker.
	CreateMissing bool
	// Resources list what the projects that run here name, so that commands
	// beside them need no configuration. May be nil.
	Resources func() []manifest.Resource
	// Spare keeps one process ahead of need; see engine.Options.
	Spare bool
	// Exceptions tells Lines of every exception that a Worker does not catch.
	Exceptions bool
	// Crons fires the Workers' cron triggers.
	Crons bool
	// Inspect gives each cell a DevTools port on loopback.
	Inspect bool
	// Origins maps private hostnames to servers, for Workers' fetch().
	Origins map[string]*url.URL
	// AllowPrivate are private networks that Workers' fetch() and connect() may
	// reach. Default: none.
	AllowPrivate []netip.Prefix
	// Hosts are the "host:port" at which clients reach the edge, for Workers
	// that fetch their own address.
	Hosts []string
	// Trusted are proxies in front of us whose forwarding headers are believed.
	Trusted []netip.Prefix
	// MaxConns, MaxConnsPerClient and BodyTimeout bound the connections of the
	// edge, see edge.Options. Zero: its defaults.
	MaxConns, MaxConnsPerClient int
	BodyTimeout                 time.Duration
	// S3Hosts are the hosts at which the edge answers with R2's S3 API: all buckets
	// in the path, and each at <bucket>.<host>.
	S3Hosts []string
	// S3Requests receives the requests to the S3 API, wherever they came in. May be
	// nil.
	S3Requests func(s3.Record)
	// Normalization of URLs for hosts in no zone with one of its own. Default:
	// Cloudflare's.
	Normalization config.Normalization
	// Mail takes the e-mail that Workers send. Nil: sending fails.
	Mail mail.Sender
	// Builtins are the Workers that come with the program.
	Builtins []Builtin
	// Now is the clock of what is stored: expirations, rate limits, creation
	// times. Default time.Now.
	Now func() time.Time
	// Binary finds the JavaScript engine when the first Worker needs it. Nil:
	// workerd.Binary, before anything else starts.
	Binary func(ctx context.Context) (string, error)
	// Rules decide about requests before any Worker does; SetRules replaces them.
	// Nil: none.
	Rules *ruleset.Set
	// Stages run before the platform's own, compression aside.
	Stages []edge.Stage
	// NoCompression sends responses as they are made, and Workers the client's
	// own Accept-Encoding.
	NoCompression bool
	// StuckAfter is how long a Worker may block its process. Default 30 s.
	StuckAfter time.Duration
	// MaxMemory bounds the resident memory of a cell, in bytes. Default 512 MiB.
	MaxMemory int64
	// MaxCells bounds the cells of one version. Default: one for each processor.
	MaxCells int
	// CallMemory bounds what calls of bindings take of this process's memory at
	// once, in bytes; one Worker has at most a quarter. UploadMemory bounds what
	// requests of the REST API take; one token has at most half. Defaults:
	// DefaultMemory, DefaultUploadMemory.
	CallMemory, UploadMemory int64
	// Quotas bound what is stored, and Upstreams keep it; see StoreOptions.
	Quotas    map[string]int64
	Upstreams map[string][]config.Upstream
	// CellsMemory is the resident memory of all cells together, in bytes, above
	// which those are stopped that have been idle longest. Default: three quarters
	// of the machine's memory.
	CellsMemory int64
	// Cgroups bound the memory of cells by the kernel; nil leaves them watched
	// only.
	Cgroups *cgroup.Tree
	// Lines, Invocations, Requests and Calls receive what happens. Any may be nil.
	Lines       func(telemetry.Line)
	Invocations func(telemetry.Invocation)
	Requests    func(edge.Record)
	Calls       func(telemetry.Call)
	// Metrics count requests, events, calls to bindings and cells. May be nil.
	Metrics *telemetry.Metrics
	// MapStack rewrites a stack to the user's sources. May be nil.
	MapStack func(v *config.Version, stack string) string
	// Progress shows the download of the engine. May be nil.
	Progress io.Writer
	// Logger of the platform's own events. Default slog.Default().
	Logger *slog.Logger
}

// Platform is a running Selvage.
type Platform struct {
	Stores *Stores
	Engine *engine.Engine
	Edge   *edge.Edge
	// API is the REST API for clients with a token.
	API http.Handler

	phases *phases
	tails  telemetry.Hub
	source config.Source
	egress *egress.Egress
	local  *Local
	s3     *http1.Server
	crons  context.CancelFunc
	cronsE chan struct{} // closed when the scheduler has ended
	sweeps func()        // ends the sweeping
	runs   func()        // ends the kinds that run
	log    *slog.Logger
}

// Open opens the data directory, fetches the engine if it is not there yet, and
// starts everything but the listeners. ctx bounds the opening only.
func Open(ctx context.Context, o Options) (*Platform, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p := &Platform{log: o.Logger}
	if err := p.open(ctx, o); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return nil, errors.Join(err, p.Close(ctx))
	}
	return p, nil
}

func (p *Platform) open(ctx context.Context, o Options) (err error) {
	if o.Binary == nil {
		binary, err := workerd.Binary(ctx, o.Progress)
		if err != nil {
			return err
		}
		o.Binary = func(context.Context) (string, error) { return binary, nil }
	}
	p.Stores, _, err = OpenStores(ctx, StoreOptions{Memory: o.CallMemory, UploadMemory: o.UploadMemory, Quotas: o.Quotas, Upstreams: o.Upstreams, Dir: o.Data, WorkersDomain: o.WorkersDomain, Port: o.Port, Dev: o.Dev, Now: o.Now, Mail: o.Mail, Logger: o.Logger})
	if err != nil {
		return err
	}
	p.Stores.Resources = o.Resources
	if o.Source == nil {
		o.Source = p.Stores.State
	}
	o.Source = withBuiltins(o.Source, o.Builtins)
	p.source = o.Source
	p.egress, err = egress.New(egress.Options{
		Origins:      o.Origins,
		AllowPrivate: o.AllowPrivate,
		Logger:       o.Logger,
		// The edge is made below; no Worker runs before it is.
		Local:  func(host string) http.Handler { return p.Edge.Local(host) },
		Edge:   func(port string) http.Handler { return p.Edge.Port(port) },
		Caller: func(ray string) *telemetry.Request { return p.Edge.Open(ray) },
	})
	if err != nil {
		return err
	}
	inspector := func(string) string { return "" }
	if o.Inspect {
		inspector = func(string) string { return "127.0.0.1:0" }
	}
	p.Engine, err = engine.New(engine.Options{
		Binary:      o.Binary,
		Dir:         o.Data,
		Source:      o.Source,
		Kinds:       p.Stores.Kinds,
		MakeMissing: o.CreateMissing,
		Programs:    programs(o.Builtins),
		Egress:      p.egress.For,
		Exceptions:  o.Exceptions,
		Spare:       o.Spare,
		Lines:       o.Lines,
		Invocations: func(i telemetry.Invocation) {
			p.tails.Publish(i)
			if o.Invocations != nil {
				o.Invocations(i)
			}
		},
		MapStack:     o.MapStack,
		StuckAfter:   o.StuckAfter,
		MaxMemory:    o.MaxMemory,
		Cells:        o.MaxCells,
		CellsMemory:  o.CellsMemory,
		ObjectsQuota: o.Quotas["durable_object"], WorkerObjectsQuota: o.Quotas["worker_durable_objects"], HistoryQuota: o.Quotas["durable_object_history"],
		Cgroups:       o.Cgroups,
		Confine:       true,
		Calls:         calls(o.Metrics, o.Calls),
		Events:        o.Metrics.Event,
		InspectorAddr: inspector,
		Logger:        o.Logger,
	})
	if err != nil {
		return err
	}
	p.phases = newPhases(o.Rules, o.Logger)
	p.openS3(o)
	p.Edge = edge.New(edge.Options{
		Source:        o.Source,
		Target:        p.Engine.Dispatch,
		Stages:        pipeline(o, p.phases),
		Hosts:         o.Hosts,
		Hosted:        p.Stores.hosts.handler,
		Trusted:       o.Trusted,
		Normalization: o.Normalization,
		MaxConns:      o.MaxConns, MaxConnsPerClient: o.MaxConnsPerClient, BodyTimeout: o.BodyTimeout,
		Dev:    o.Dev,
		Access: access(o.Metrics, o.Requests),
		Logger: o.Logger,
	})
	if err := p.openBuiltins(o.Builtins); err != nil {
		return err
	}
	p.measure(o.Metrics)
	p.API, err = p.Stores.API(ctx, control.Options{
		Check:   p.check,
		Prepare: p.prepare,
		Tail: func(worker string, f func(telemetry.Invocation)) func() {
			cancel, release := p.tails.Subscribe(worker, f), p.Engine.Observe(worker)
			return func() { release(); cancel() }
		},
		Scheme: o.Scheme, Port: o.Port, Normalization: o.Normalization,
	})
	if err != nil {
		return err
	}
	if p.local, err = ServeLocal(p.Stores.local(p.API, p.localRoutes()...)); err != nil {
		return err
	}
	if err := p.Stores.lock.Announce(p.local); err != nil {
		return err
	}
	if o.Crons {
		p.startCrons(o.Source)
	}
	p.sweeps, p.runs = p.startSweeps(), p.startRunners()
	return nil
}

// SetOrigins replaces the origins. Connections that are open stay.
func (p *Platform) SetOrigins(origins map[string]*url.URL) error { return p.egress.SetOrigins(origins) }

// check starts an uploaded version on trial.
func (p *Platform) check(ctx context.Context, v *config.Version) (control.Report, error) {
	r, err := p.Engine.Check(ctx, v)
	return control.Report{StartupTime: r.StartTime, Handlers: r.Handlers, Warnings: r.Warnings}, startupError(err)
}

// prepare starts the cells of a deployment that is about to be made.
func (p *Platform) prepare(ctx context.Context, worker string, shares []config.Share) (finish func(), err error) {
	finish, err = p.Engine.Prepare(ctx, worker, shares)
	return finish, startupError(err)
}

// startupError marks an error that is the version's own mistake.
func startupError(err error) error {
	var start *workerd.StartError
	if !errors.As(err, &start) {
		return err
	}
	if start.Stack != "" {
		// A whole stack, because clients rewrite its lines to the user's sources.
		err = errors.New("Uncaught " + start.Message + "\n" + start.Stack)
	}
	return control.StartupError{Err: err}
}

func (p *Platform) startCrons(source config.Source) {
	ctx, cancel := context.WithCancel(context.Background())
	p.crons, p.cronsE = cancel, make(chan struct{})
	scheduler := cron.Scheduler{Source: source, History: p.Stores.Crons, Log: p.log, Fire: func(ctx context.Context, worker, expression string, at time.Time) (string, error) {
		outcome, err := p.Engine.Send(ctx, worker, cron.Trigger{Cron: expression, Time: at}.Event())
		switch {
		case ctx.Err() != nil:
		case err != nil:
			p.log.Error("cron trigger failed", "worker", worker, "cron", expression, "err", err)
			outcome.Outcome = "unknown"
			if errors.Is(err, binding.ErrNotBegun) {
				outcome.Outcome = "notBegun"
			}
		case outcome.Outcome != "ok":
			p.log.Warn("cron trigger failed in the Worker", "worker", worker, "cron", expression, "outcome", outcome.Outcome)
		}
		return outcome.Outcome, err
	}}
	go func() {
		defer close(p.cronsE)
		scheduler.Run(ctx)
	}()
}

// Account is the id of the account that owns everything in the data directory.
func (p *Platform) Account() string { return p.Stores.Account }

// Serve answers requests on l until ctx ends. config is for TLS; nil serves
// plain HTTP. It may be called for several listeners.
func (p *Platform) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	return p.Edge.Serve(ctx, l, config)
}

// ErrCutOff: everything is closed and on disk, but requests, WebSockets or work
// behind a response had not finished when the time was over.
var ErrCutOff = errors.New("what had not finished in time was cut off")

// Close stops accepting, lets requests and Workers finish until ctx ends, and
// closes the stores. The error is ErrCutOff if that is all there is to say.
func (p *Platform) Close(ctx context.Context) error {
	var errs []error
	var cutOff error
	step := func(what string, err error) {
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			cutOff = fmt.Errorf("%w: %w", ErrCutOff, err)
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	if p.crons != nil {
		p.crons()
		<-p.cronsE
	}
	if p.runs != nil {
		p.runs()
	}
	if p.sweeps != nil {
		p.sweeps()
	}
	if p.Edge != nil {
		step("finish requests", p.Edge.Shutdown(ctx))
	}
	if p.s3 != nil {
		step("finish S3 requests", p.s3.Shutdown(ctx))
	}
	if p.Engine != nil {
		step("stop Workers", p.Engine.Close(ctx))
	}
	if p.egress != nil {
		p.egress.Close()
	}
	if p.local != nil {
		step("stop local API", p.local.Close())
	}
	if p.Stores != nil {
		step("close stores", p.Stores.Close())
	}
	if len(errs) == 0 {
		return cutOff
	}
	return errors.Join(errs...)
}

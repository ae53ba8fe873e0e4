// Package edge is the way in: listeners for HTTP/1.1 and HTTP/2, the pipeline
// of stages that every request goes through, and the lookup of the Worker that
// a host and path belong to.
//
// A request is checked byte by byte (package http1), given its record and the headers
// that Cloudflare gives it (request.go), handed through the stages in order,
// routed (route.go) and passed to Options.Target. Whoever fails it returns an
// error, and error.go alone makes a response of it.
package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge/http1"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/hop/target"
	"github.com/selvage-edge/selvage/telemetry"
)

// Handler answers a request, or returns an error before it has written
// anything. Errors are best a *fault.Fault.
type Handler interface {
	ServeHTTP(w http.ResponseWriter, r *http.Request) error
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP calls f.
func (f HandlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) error { return f(w, r) }

// Stage is one step of the pipeline. It answers, fails, or calls next, once.
// It may change r's header and URL before; whatever it wraps around w must have
// an Unwrap method (see http.ResponseController).
type Stage interface {
	ServeHTTP(w http.ResponseWriter, r *http.Request, next Handler) error
}

// maxDepth is how many Workers of ours a request may pass through by fetch();
// more is answered with error 1019, as on Cloudflare.
const maxDepth = 16

// Options are the parts an Edge is made of.
type Options struct {
	// Source gives the Workers and routes. Required.
	Source config.Source
	// Target answers for a Worker; version is empty unless a preview URL named
	// one. It may write a whole response or return an error, not both. Required.
	Target func(w http.ResponseWriter, r *http.Request, worker, version string) error
	// Stages run in this order before Target, also for hosts nobody serves.
	Stages []Stage
	// Hosts are the "host:port" at which clients reach this edge itself. A
	// Worker's fetch() of one of them stays inside, whatever Worker answers there.
	Hosts []string
	// Hosted returns who answers for a host (in lower case, without port) in the
	// place of a Worker, or nil. raw: requests and responses are left as they are,
	// and no stage sees them. It is asked for every request. Nil: there are no such
	// hosts.
	Hosted func(host string) (owner Handler, raw bool)
	// Trusted are the proxies whose X-Forwarded-For, X-Forwarded-Proto and
	// CF-Connecting-IP are believed. Default: none.
	Trusted []netip.Prefix
	// Normalization is that of hosts in no zone with one of its own. Default:
	// Cloudflare's.
	Normalization config.Normalization
	// Dev shows causes, hints and stacks to the client.
	Dev bool
	// Logger gets each failed request once. Default slog.Default().
	Logger *slog.Logger
	// Access is called after each request, on its goroutine. May be nil.
	Access func(Record)
	// MaxConns bounds the connections open at once. When they run out, the one
	// that has been idle longest is closed. Default 16384.
	MaxConns int
	// MaxConnsPerClient bounds those of one IPv4 address or IPv6 network of 64
	// bits in the same way; Trusted proxies are not bounded. Default 1024.
	MaxConnsPerClient int
	// BodyTimeout bounds the wait for more of a request's body; then the request
	// fails with 408. Default 60 s.
	BodyTimeout time.Duration
	// MaxInternal bounds the requests that Workers' fetch() of our own hosts
	// have open at once; it ends loops whose requests carry no trace of each
	// other. One Worker has a quarter of them. Default 1024.
	MaxInternal int
	// HeaderTimeout bounds the arrival of a request's header. Default 15 s.
	HeaderTimeout time.Duration
	// IdleTimeout closes a connection without a request. Default 400 s, as
	// Cloudflare does.
	IdleTimeout time.Duration
}

// Record says how a request ended.
type Record struct {
	Request            *telemetry.Request
	Method, Host, Path string
	// Worker and Version are empty for a request that reached none.
	Worker, Version string
	// Status is what was sent; 499 when the client left before.
	Status int
	// Bytes of the body sent.
	Bytes    int64
	Duration time.Duration
	// Fault is set for a request that the edge answered with an error.
	Fault *fault.Fault
	// Aborted: the response broke off.
	Aborted bool
}

// Edge serves requests. It is safe for concurrent use.
type Edge struct {
	options  Options
	table    atomic.Pointer[table]
	pipeline Handler
	internal *places
	open     open
	ports    ports
	server   *http1.Server
	cancel   func() // ends the subscription
}

// New makes an Edge that is ready to serve.
func New(o Options) *Edge {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MaxInternal == 0 {
		o.MaxInternal = 1024
	}
	e := &Edge{options: o, internal: newPlaces(o.MaxInternal)}
	e.pipeline = HandlerFunc(e.route)
	for i := len(o.Stages) - 1; i >= 0; i-- {
		stage, next := o.Stages[i], e.pipeline
		e.pipeline = HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return stage.ServeHTTP(w, r, next) })
	}
	e.cancel = o.Source.Subscribe(func(s *config.Snapshot) { e.table.Store(compile(s, o.Logger)) })
	e.table.CompareAndSwap(nil, compile(o.Source.Current(), o.Logger))

	e.server = http1.New(http1.Options{
		Handler: e, ConnContext: withConnection, Logger: o.Logger,
		MaxConns: o.MaxConns, MaxConnsPerClient: o.MaxConnsPerClient, Exempt: e.trusts, BodyTimeout: o.BodyTimeout, HeaderTimeout: o.HeaderTimeout, IdleTimeout: o.IdleTimeout,
	}.Bounded())
	return e
}

// Serve answers the connections of l until ctx ends or Shutdown is called, and
// then returns nil. config, when not nil, is for TLS; it needs certificates, and
// gets h2 and HTTP/1.1 as protocols if it names none. Serve may be called for
// several listeners.
func (e *Edge) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	e.ports.add(l)
	return e.server.Serve(ctx, l, config)
}

// Shutdown stops listening and waits for requests to end. WebSockets are
// closed when everything else has ended. What still runs when ctx ends is cut
// off, and ctx's error returned.
func (e *Edge) Shutdown(ctx context.Context) error {
	e.cancel()
	return e.server.Shutdown(ctx)
}

// ServeHTTP answers one request from outside.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w}
	if f := check(r); f != nil {
		x.record = telemetry.Request{Ray: telemetry.NewRay(), Start: time.Now(), ClientIP: connectionOf(r).remote}
		x.closes = r.ProtoMajor == 1
		e.serve(x, r, HandlerFunc(func(http.ResponseWriter, *http.Request) error { return f }))
		return
	}
	// After this request http1 has looked away from the bytes; see there.
	x.closes = r.ProtoMajor == 1 && http1.IsWebSocket(r.Header["Upgrade"])
	r.URL.Scheme = "" // of a target in absolute form; nobody has checked it
	h := e.begin(r)
	e.accept(r, &x.record)
	e.open.add(&x.record)
	defer e.open.remove(x.record.Ray)
	if x.record.Loops > maxDepth {
		h = loop
	}
	e.serve(x, r, h)
}

// begin returns what answers r: the pipeline, for which the URL is normalized, or
// who takes requests to the host as they are.
func (e *Edge) begin(r *http.Request) Handler {
	host := canonical(r.Host)
	if owner, raw := e.hosted(host); raw {
		return owner
	}
	e.normalize(r, host)
	return e.pipeline
}

// serve runs h and sees to errors, panics and the access record.
func (e *Edge) serve(x *exchange, r *http.Request, h Handler) {
	method, host, path := r.Method, r.Host, r.URL.Path // stages may rewrite them
	ctx := context.WithValue(telemetry.WithRequest(r.Context(), &x.record), exchangeKey{}, x)
	aborted := true
	var failed *fault.Fault
	defer func() {
		if e.options.Access != nil {
			e.options.Access(Record{
				Request: &x.record, Method: method, Host: host, Path: path, Worker: x.to.worker, Version: x.to.version,
				Status: x.status, Bytes: x.bytes, Duration: time.Since(x.record.Start), Fault: failed, Aborted: aborted,
			})
		}
	}()
	if err := protect(h, x, r.WithContext(ctx)); err != nil {
		failed = e.fail(x, r, err)
	} else if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	aborted = false
}

// protect calls h and turns a panic, other than the one that aborts a response
// on purpose, into an error.
func protect(h Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			err = fault.Internal.With("", fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return h.ServeHTTP(w, r)
}

// route is the end of the pipeline.
func (e *Edge) route(w http.ResponseWriter, r *http.Request) error {
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	host := HostOf(r)
	if owner, raw := e.hosted(host); owner != nil && !raw {
		return owner.ServeHTTP(w, r)
	}
	to, found := e.table.Load().find(telemetry.RequestFrom(r.Context()).Scheme, host, target.URI(r.URL))
	if !found {
		f := fault.NotConfigured.With(fmt.Sprintf("No Worker answers for the host %q.", host), nil)
		f.Hint = "deploy a Worker with a route or custom domain for this host"
		return f
	}
	if ok {
		x.to = to
	}
	return e.options.Target(w, r, to.worker, to.version)
}

// Connections is the number of connections that are open.
func (e *Edge) Connections() int { return e.server.Connections() }

// Internal is the number of requests of Workers to hosts served here that are
// being answered.
func (e *Edge) Internal() int { return e.internal.open() }

// Local returns a handler for the requests that a Worker sends to host by
// fetch(), or nil if host is not served here. Such a request never leaves this
// process: it enters the pipeline as a new request with its own Ray ID, under
// the limits on loops. The scheme is taken from r.URL.Scheme, and CF-Worker,
// which the caller sets, is kept.
func (e *Edge) Local(host string) http.Handler {
	own := slices.Contains(e.options.Hosts, strings.ToLower(host))
	if !http1.ValidHost(host) || !own && !e.Serves(host) {
		return nil
	}
	return http.HandlerFunc(e.serveInternal)
}

// Serves reports whether a route, a custom domain or the workers domain gives
// any path of host to a Worker, or somebody answers for it in the place of one. The
// default Worker does not count.
func (e *Edge) Serves(host string) bool {
	host = canonical(host)
	if e.table.Load().serves(host) {
		return true
	}
	owner, _ := e.hosted(host)
	return owner != nil
}

func (e *Edge) hosted(host string) (owner Handler, raw bool) {
	if e.options.Hosted == nil {
		return nil, false
	}
	return e.options.Hosted(host)
}

// Find says which Worker a request for host and path goes to, and which version
// if a preview URL names one. worker is empty when nobody serves it.
func (e *Edge) Find(scheme, host, path string) (worker, version string) {
	to, ok := e.table.Load().find(scheme, canonical(host), path)
	if !ok {
		return "", ""
	}
	return to.worker, to.version
}

// workerIP is the client that Cloudflare names when a Worker is the client.
var workerIP = netip.MustParseAddr("2a06:98c0:3600::103")

func (e *Edge) serveInternal(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, record: telemetry.Request{
		Ray: telemetry.NewRay(), Scheme: "http", ClientIP: workerIP, Start: time.Now(),
		CF: makeCF("HTTP/1.1", r.Header.Get("Accept-Encoding"), nil), Depth: depth(r.Header) + 1, Loops: hop.Loops(r.Header),
	}}
	if r.URL.Scheme == "https" {
		x.record.Scheme = "https"
	}
	h := e.begin(r)
	worker, sender := r.Header["Cf-Worker"], r.Header.Get("Cf-Worker")
	if max(x.record.Depth, x.record.Loops) > maxDepth {
		h = loop
	} else if err := e.internal.take(sender); err != nil {
		h = HandlerFunc(func(http.ResponseWriter, *http.Request) error { return err })
	} else {
		defer e.internal.leave(sender)
	}
	clean(r.Header)
	if worker != nil {
		r.Header["Cf-Worker"] = worker
	}
	r.Header["Cf-Ew-Via"] = []string{fmt.Sprint(x.record.Depth)}
	setIdentity(r.Header, &x.record, workerIP.String())
	r.Header["X-Forwarded-For"] = []string{workerIP.String()} // the Worker's own would be believed
	e.open.add(&x.record)
	defer e.open.remove(x.record.Ray)
	e.serve(x, r, h)
}

var loop = HandlerFunc(func(http.ResponseWriter, *http.Request) error {
	f := fault.LoopLimit.With("This request has passed through too many Workers.", nil)
	f.Hint = "a Worker fetches a host that leads back to itself; call other Workers through service bindings"
	return f
})

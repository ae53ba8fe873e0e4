// Package hop carries one HTTP request from us to an upstream: a cell over its
// unix socket, or an origin over TCP and TLS.
//
// A hop streams both ways without buffering, passes on trailers, 103 and other
// informational responses, WebSockets and the client's cancellation, and
// removes hop-by-hop headers in both directions (RFC 9110, 7.6.1). It adds
// nothing of its own: no User-Agent, no Accept-Encoding, no X-Forwarded-For,
// no sniffed Content-Type.
//
// Who may ask for what is decided before a request gets here.
//
// There are two ways. [http.Transport] knows everything and is always there;
// requests to a cell without a body, or with a small one that is in memory, take
// the short one of direct.go.
// DESIGN.md in this folder has the reasons and the measurements.
package hop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// The private headers between us and a cell. workerd takes and gives them on
// its sockets, so that neither the client nor the Worker's code sees them; the
// edge removes them from what comes in.
const (
	// ProtoHeader carries the URL's scheme (workerd's forwardedProtoHeader).
	ProtoHeader = "Selvage-Proto"
	// CFHeader carries request.cf as JSON (workerd's cfBlobHeader).
	CFHeader = "Selvage-Cf"
	// CapabilityHeader carries the secret that admits a cell to one binding.
	CapabilityHeader = "Selvage-Capability"
)

// Options say how a Hop connects. The zero value of each field is a usable
// default; cells always set Dial.
type Options struct {
	// Dial opens a connection. addr is "host:port" of Call.Host; a hop to a
	// cell ignores it. Default: the net package's dialer with DialTimeout.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialTimeout bounds Dial together with waiting for it. Default 10 s.
	DialTimeout time.Duration
	// TLS is used for the scheme https. Default: the system's roots.
	TLS *tls.Config
	// Single says that Dial leads to the same upstream whatever Call.Host is, as
	// for a cell. Requests without a body, or with a small one that is in
	// memory, then take a shorter way to it.
	Single bool
	// HTTP2 lets TLS connections negotiate h2. Cells speak HTTP/1.1 only.
	HTTP2 bool
	// MaxIdle is the number of idle connections kept per host; with Single, once
	// for requests with and once for those without a body. Default 256.
	MaxIdle int
	// MaxIdleTotal bounds them over all hosts. Default 4 x MaxIdle.
	MaxIdleTotal int
	// IdleTimeout closes a connection that was idle so long. Default 90 s.
	IdleTimeout time.Duration
	// HeaderTimeout bounds the wait from the end of the request to the first
	// byte of the response. Default 0: as long as the client waits.
	HeaderTimeout time.Duration
	// MaxHeaderBytes bounds the response's header. Default 256 KiB.
	MaxHeaderBytes int64
}

// Hop is a pool of connections. It is safe for concurrent use.
type Hop struct {
	transport *http.Transport
	direct    *direct // nil unless Options.Single
}

// New makes a Hop. It connects to nothing yet.
func New(o Options) *Hop {
	if o.DialTimeout == 0 {
		o.DialTimeout = 10 * time.Second
	}
	if o.MaxIdle == 0 {
		o.MaxIdle = 256
	}
	if o.MaxIdleTotal == 0 {
		o.MaxIdleTotal = 4 * o.MaxIdle
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 90 * time.Second
	}
	if o.MaxHeaderBytes == 0 {
		o.MaxHeaderBytes = 256 << 10
	}
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(o.HTTP2)
	connect := func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
		defer cancel()
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, &Error{Kind: Dial, Err: err}
		}
		return conn, nil
	}
	h := &Hop{transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := connect(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &earlyConn{Conn: conn}, nil
		},
		TLSClientConfig:        o.TLS,
		TLSHandshakeTimeout:    o.DialTimeout,
		Protocols:              protocols,
		DisableCompression:     true, // the client's Accept-Encoding is the only one
		MaxIdleConns:           o.MaxIdleTotal,
		MaxIdleConnsPerHost:    o.MaxIdle,
		IdleConnTimeout:        o.IdleTimeout,
		ResponseHeaderTimeout:  o.HeaderTimeout,
		MaxResponseHeaderBytes: o.MaxHeaderBytes,
	}}
	if o.Single {
		h.direct = &direct{
			dial:    func(ctx context.Context) (net.Conn, error) { return connect(ctx, "tcp", "cell:80") },
			maxIdle: o.MaxIdle, idleTimeout: o.IdleTimeout, headerTimeout: o.HeaderTimeout, maxHeader: int(o.MaxHeaderBytes),
		}
	}
	return h
}

// Close closes the idle connections. Requests in flight go on; their
// connections are closed when they end up idle for IdleTimeout.
func (h *Hop) Close() {
	h.transport.CloseIdleConnections()
	if h.direct != nil {
		h.direct.close()
	}
}

// Call is what one request adds to its Hop.
type Call struct {
	// Scheme is "http" or "https". Default "http".
	Scheme string
	// Host is the upstream's "host" or "host:port", for dialling, pooling and
	// TLS only: the Host header is always the request's own. Default "cell".
	Host string
	// Set changes the request's header after hop-by-hop headers were removed, so
	// a client cannot have Connection take away what is set here. The values of
	// the original are shared: replace them, never append in place. May be nil.
	Set func(h http.Header)
	// Inspect sees the response before anything of it is written, and may change
	// its header. When it returns an error, nothing is written, and Forward
	// returns that error as it is. May be nil.
	Inspect func(res *http.Response) error
	// Restart can end the WebSocket that the request becomes. The end of the
	// request's context does the same. May be nil.
	Restart *Restart
}

// Result tells what became of a request.
type Result struct {
	// Status of the final response, 101 for an upgraded connection.
	Status int
	// Sent is the number of body bytes written to the client. For an upgraded
	// connection: everything that came from the upstream.
	Sent int64
	// Reused: the request went out on a connection that had served others.
	Reused bool
}

// Kind says at which point a request failed.
type Kind int

// The kinds of failure. All of them happen before the first byte of a response
// was written.
const (
	// Dial: no connection could be made. The upstream has seen nothing, so
	// the request may be sent elsewhere if its body was not read.
	Dial Kind = iota + 1
	// Handshake: the TLS handshake failed; Err says whose fault it is.
	Handshake
	// Broken: the connection ended, or carried what is not HTTP, before a
	// response. The upstream may have acted on the request.
	Broken
	// Timeout: no response within HeaderTimeout.
	Timeout
	// Client: reading the client's body failed (malformed, too large, cut
	// short); Err is the error of that read.
	Client
	// Canceled: the request's context ended, usually because the client left.
	Canceled
)

func (k Kind) String() string {
	return [...]string{"none", "dial", "tls handshake", "broken connection", "timeout", "client body", "canceled"}[k]
}

// Error is why a request got no response.
type Error struct {
	Kind Kind
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("upstream: %s: %v", e.Kind, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrMethod is returned for CONNECT, which is never forwarded.
var ErrMethod = errors.New("upstream: the method CONNECT is not forwarded")

// Forward sends r to the upstream and writes its response to w.
//
// An error ([*Error], ErrMethod, or whatever Call.Inspect returned) means that
// nothing was written to w, and the caller answers. Once the response's header
// was written, nothing but ending the connection tells the client that its body
// is not whole: Forward then panics with [http.ErrAbortHandler], which net/http
// takes for exactly that, without a log line. Callers with something to do
// afterwards defer it.
//
// Headers of the response are added to those that w already has. A request
// without a body, or with an idempotent method and nothing sent, is repeated
// when an idle connection turns out to be closed; nothing else is ever sent
// twice.
func (h *Hop) Forward(w http.ResponseWriter, r *http.Request, c Call) (Result, error) {
	if r.Method == http.MethodConnect {
		return Result{}, ErrMethod
	}
	up := upgrade(r)
	res, body, reused, err := h.send(w, r, &c, up)
	if err != nil {
		err := classify(r.Context(), err, body)
		if body != nil && err.Kind != Dial { // after Dial the body is untouched, for another try
			body.release(w)
		}
		return Result{Reused: reused}, err
	}
	result := Result{Status: res.StatusCode, Reused: reused}
	if c.Inspect != nil {
		if err := c.Inspect(res); err != nil {
			res.Body.Close()
			if body != nil {
				body.release(w)
			}
			return result, err
		}
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		result.Sent, err = switchProtocols(w, r, res, &c, up)
		return result, err
	}
	result.Sent = respond(w, r, res, body)
	return result, nil
}

// send makes the round trip. The returned body is nil for a request without one.
func (h *Hop) send(w http.ResponseWriter, r *http.Request, c *Call, up string) (res *http.Response, body *body, reused bool, err error) {
	if h.direct != nil && h.direct.suits(r, c) {
		header := headers.Get().(http.Header)
		outgoing(header, r, c, up)
		res, reused, ok, err := h.direct.roundTrip(w, r, c, header)
		clear(header)
		headers.Put(header)
		if ok {
			return res, nil, reused, err
		}
	}
	out, body := h.request(r, c, up)
	x := exchange{w: w}
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn:        x.gotConn,
		Got1xxResponse: x.informational,
	})
	res, err = h.transport.RoundTrip(out.WithContext(ctx))
	x.stop()
	return res, body, x.reused, err
}

// headers are reused by requests on the direct way, where nothing keeps them.
var headers = sync.Pool{New: func() any { return make(http.Header, 24) }}

// classify turns an error of the transport into an Error.
func classify(ctx context.Context, err error, body *body) *Error {
	var e *Error
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	var timeout interface{ Timeout() bool }
	switch {
	case ctx.Err() != nil:
		return &Error{Kind: Canceled, Err: context.Cause(ctx)}
	case body != nil && body.failed() != nil:
		return &Error{Kind: Client, Err: body.failed()}
	case errors.As(err, &e):
		return e
	case errors.As(err, &cert), errors.As(err, &record), errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"), // TLS alerts
		err.Error() == "net/http: TLS handshake timeout":
		return &Error{Kind: Handshake, Err: err}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &Error{Kind: Timeout, Err: err}
	}
	return &Error{Kind: Broken, Err: err}
}

// exchange is the state that the transport's hooks share with Forward. They
// run on the transport's goroutines, possibly after RoundTrip has returned.
type exchange struct {
	mu     sync.Mutex
	w      http.ResponseWriter // nil once the final response may be written
	reused bool
}

func (x *exchange) stop() {
	x.mu.Lock()
	x.w = nil
	x.mu.Unlock()
}

func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	x.mu.Lock()
	x.reused = info.Reused
	if c, ok := info.Conn.(*earlyConn); ok {
		c.begun.Store(false)
	}
	x.mu.Unlock()
}

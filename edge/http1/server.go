// Package http1 serves the connections of the edge.
//
// It reads HTTP/1 strictly: a malformed request ends before a handler sees it
// (wire.go). A loop of its own serves plain requests (short.go, reply.go);
// net/http serves everything else. Some valid requests net/http would refuse.
// These go through it in another form (target.go; h2.go for HTTP/2).
//
// It knows nothing of Workers: the edge gives it a handler.
package http1

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// MaxHeaderBytes is Cloudflare's bound for the header of a request.
const MaxHeaderBytes = 128 << 10

// Options say what a Server is made of. What may not be nil or zero is required.
type Options struct {
	// Handler answers the requests.
	Handler http.Handler
	// ConnContext returns the context of a new connection's requests. May be nil.
	ConnContext func(ctx context.Context, c net.Conn) context.Context
	Logger      *slog.Logger
	// MaxConns bounds the connections open at once. When they run out, the one
	// that has been idle longest is closed; when none is idle, more wait.
	MaxConns int
	// MaxConnsPerClient bounds those of one IPv4 address or IPv6 network of 64
	// bits. One more closes the client's longest idle one, or is closed itself
	// when none is idle.
	MaxConnsPerClient int
	// Exempt are addresses that MaxConnsPerClient does not hold for. May be nil.
	Exempt func(netip.Addr) bool
	// BodyTimeout bounds the wait for more of a request's body; then reading it
	// fails with ErrStalled. Zero: no bound.
	BodyTimeout time.Duration
	// HeaderTimeout bounds the arrival of a request's header.
	HeaderTimeout time.Duration
	// IdleTimeout closes a connection without a request.
	IdleTimeout time.Duration
	// Tolerant leaves what is malformed to net/http, which forgives much: it is for
	// peers that speak by the book.
	Tolerant bool
	// MaxHeaderBytes bounds the header of a request; more is answered with 431.
	// Default: the constant of that name.
	MaxHeaderBytes int
}

// Bounded returns o with the bounds that a listener for clients needs, where o has
// none: 16,384 connections, 1,024 of one client, a minute for more of a body, 15 s
// for a header, and 400 s without a request, which is Cloudflare's.
func (o Options) Bounded() Options {
	o.MaxConns = cmp.Or(o.MaxConns, 16384)
	o.MaxConnsPerClient = cmp.Or(o.MaxConnsPerClient, 1024)
	o.BodyTimeout = cmp.Or(o.BodyTimeout, time.Minute)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 15*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 400*time.Second)
	return o
}

// Server serves connections. It is safe for concurrent use.
type Server struct {
	options Options
	http    *http.Server
	shorts  shorts          // the connections that http does not have
	base    context.Context // of all requests
	stop    context.CancelFunc
	places  *places
	active  sync.WaitGroup // requests, WebSockets among them
}

// New makes a Server that is ready to serve.
func New(o Options) *Server {
	more := o.ConnContext
	o.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if h2, ok := c.(*h2Conn); ok {
			state := h2.conn.ConnectionState()
			ctx = context.WithValue(ctx, tlsKey{}, &state)
		}
		if x := placeOf(c); x != nil {
			ctx = context.WithValue(ctx, placeKey{}, x)
		}
		if more != nil {
			ctx = more(ctx, c)
		}
		return ctx
	}
	if o.MaxHeaderBytes == 0 {
		o.MaxHeaderBytes = MaxHeaderBytes
	}
	v := &Server{options: o, places: newPlaces(o)}
	v.base, v.stop = context.WithCancel(context.Background())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	v.http = &http.Server{
		Handler:           v,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 256, MaxReadFrameSize: maxFrame, MaxDecoderHeaderTableSize: headerTable}, // a frame is held whole; more is no client's need
		ReadHeaderTimeout: o.HeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    o.MaxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return v.base },
		ConnContext:       o.ConnContext,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),

		DisableGeneralOptionsHandler: true, // OPTIONS * is the handler's
	}
	return v
}

// Serve answers the connections of l until ctx ends or Shutdown is called, and
// then returns nil. config, when not nil, is for TLS; it needs certificates, and
// gets h2 and HTTP/1.1 as protocols if it names none. Serve may be called for
// several listeners.
func (v *Server) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	if config != nil && len(config.NextProtos) == 0 {
		config = config.Clone()
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	n := newListener(l, config, v.places, v.options.Tolerant, v.serveShort)
	defer n.Close()
	defer context.AfterFunc(ctx, func() { n.Close() })()
	err := v.http.Serve(n)
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}

type tlsKey struct{}

// ServeHTTP answers one request.
func (v *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.active.Add(1)
	defer v.active.Done()
	if x, ok := r.Context().Value(placeKey{}).(*place); ok {
		defer v.places.leave(x)
		if !v.places.enter(x) {
			panic(http.ErrAbortHandler) // the connection was closed while this request came
		}
	}
	if _, ok := r.Body.(*held); !ok && r.Body != nil && r.Body != http.NoBody {
		// A copy, for us and the stages to wrap its body: net/http looks at its own
		// afterwards, and lingers if it was not read to the end. Otherwise a client
		// that still sends would see a reset in place of the answer.
		r = r.WithContext(r.Context())
		if v.options.BodyTimeout > 0 {
			r.Body = newPatient(w, r.Body, v.options.BodyTimeout)
		}
	}
	if state, ok := r.Context().Value(tlsKey{}).(*tls.ConnectionState); ok && r.TLS == nil {
		r.TLS = state
	}
	if r.RequestURI == tooLarge {
		http.Error(w, "Request Header Fields Too Large", http.StatusRequestHeaderFieldsTooLarge)
		return
	}
	Reveal(r)
	v.options.Handler.ServeHTTP(w, r)
}

// Shutdown stops listening and waits for requests to end. WebSockets are
// closed when everything else has ended. What still runs when ctx ends is cut
// off, and ctx's error returned.
func (v *Server) Shutdown(ctx context.Context) error {
	short := make(chan error, 1)
	go func() { short <- v.shorts.shutdown(ctx) }()
	err := v.http.Shutdown(ctx)
	if cutOff := <-short; err == nil {
		err = cutOff
	}
	v.stop()
	if err != nil {
		v.http.Close()
	}
	done := make(chan struct{})
	go func() {
		v.active.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return err
}

// Connections is the number of connections that are open.
func (v *Server) Connections() int { return v.places.open() }

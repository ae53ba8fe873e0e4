package http1

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/hop/await"
)

// listener gives net/http connections whose bytes are checked by [wire], and
// no more of them at once than there are places. Those without TLS go to plain
// first, which hands on what it does not serve.
type listener struct {
	net.Listener
	tls      *tls.Config
	plain    func(c *plainConn, others func(net.Conn))
	places   *places
	tolerant bool
	conns    chan net.Conn
	ctx      context.Context // its cause is why the listener ended
	stop     context.CancelCauseFunc
}

// handshakeTimeout bounds a TLS handshake.
const handshakeTimeout = 10 * time.Second

func newListener(l net.Listener, config *tls.Config, places *places, tolerant bool, plain func(*plainConn, func(net.Conn))) *listener {
	n := &listener{Listener: l, tls: config, plain: plain, places: places, tolerant: tolerant, conns: make(chan net.Conn)}
	n.ctx, n.stop = context.WithCancelCause(context.Background())
	go n.accept()
	return n
}

func (l *listener) accept() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() { // out of descriptors: others will free some
				select {
				case <-time.After(20 * time.Millisecond):
					continue
				case <-l.ctx.Done():
					return
				}
			}
			l.stop(err)
			return
		}
		x := l.places.take(l.ctx, c)
		if x == nil {
			c.Close()
			continue
		}
		s := &slot{Conn: c, place: x, places: l.places}
		if l.tls == nil {
			go l.plain(&plainConn{gate: gate{Conn: s, wire: wire{tolerant: l.tolerant}}}, l.give)
		} else {
			go l.handshake(tls.Server(s, l.tls)) // so that a slow client holds up nobody
		}
	}
}

func (l *listener) handshake(c *tls.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, handshakeTimeout)
	defer cancel()
	switch err := c.HandshakeContext(ctx); {
	case err != nil:
		c.Close()
	case c.ConnectionState().NegotiatedProtocol == "h2":
		if !adequate(c.ConnectionState()) {
			c.SetWriteDeadline(time.Now().Add(handshakeTimeout))
			io.WriteString(c, inadequate)
			c.Close()
			return
		}
		l.give(newH2Conn(c))
	default:
		l.give(&tlsConn{gate: gate{Conn: c}, conn: c})
	}
}

func (l *listener) give(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.ctx.Done():
		c.Close()
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
}

// Close implements net.Listener. The end of a context and Shutdown may both
// call it.
func (l *listener) Close() error {
	l.stop(net.ErrClosed)
	if err := l.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// slot is a connection that has a place until it is closed.
type slot struct {
	net.Conn
	place  *place
	places *places
}

func (s *slot) Close() error {
	s.places.free(s.place)
	return s.Conn.Close()
}

// ReadFrom leads a file to the kernel.
func (s *slot) ReadFrom(r io.Reader) (int64, error) { return io.Copy(s.Conn, r) }

func (s *slot) CloseWrite() error { return closeWrite(s.Conn) }

// ReadWaiter is for await.Readable.
func (s *slot) ReadWaiter() func() { return await.Readable(s.Conn) }

func closeWrite(c net.Conn) error {
	if cw, ok := c.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// gate is a connection whose incoming bytes pass through wire.
type gate struct {
	net.Conn
	wire    wire
	pending []byte // passed, and not read yet
	err     error
	h2      atomic.Pointer[h2] // once it turned out to be HTTP/2
}

// heldBuffer is what is read at once to complete a request line, whatever the
// reader asks for: one that waits for the end of a connection reads single
// bytes.
const heldBuffer = 512

// Read is called by one goroutine at a time.
func (g *gate) Read(p []byte) (int, error) {
	for {
		switch {
		case len(g.pending) > 0:
			n := copy(p, g.pending)
			if g.pending = g.pending[n:]; len(g.pending) == 0 {
				g.pending = nil // the memory is not needed for as long as the connection is
			}
			return n, nil
		case g.err != nil:
			return 0, g.err
		case g.h2.Load() != nil:
			return g.h2.Load().Read(p)
		case g.wire.state == wireOpaque || len(p) == 0:
			return g.Conn.Read(p)
		}
		buf := p
		if len(p) < heldBuffer && len(g.wire.line) > 0 {
			buf = make([]byte, heldBuffer)
		}
		n, err := g.Conn.Read(buf)
		pass, bad := g.wire.scan(buf[:n])
		if bad == nil && g.wire.http2 {
			g.h2.Store(newH2(io.MultiReader(bytes.NewReader(bytes.Clone(pass)), g.Conn)))
			continue
		}
		if bad != nil {
			g.err = bad
			return 0, bad
		}
		if err == io.EOF {
			g.err = err
			if rest := g.wire.rest(); len(rest) > 0 {
				pass = append(pass[:len(pass):len(pass)], rest...)
			}
		}
		if len(pass) > 0 {
			if n = copy(p, pass); n < len(pass) {
				g.pending = pass[n:] // of memory other than p's
			}
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func (g *gate) Write(p []byte) (int, error) {
	n, err := g.Conn.Write(p)
	if h := g.h2.Load(); h != nil {
		h.frames.wrote(n)
	}
	return n, err
}

func (g *gate) CloseWrite() error { return closeWrite(g.Conn) }

// ReadWaiter is for await.Readable. A connection with TLS has none: it may have
// read more than it has given.
func (g *gate) ReadWaiter() func() {
	wait := await.Readable(g.Conn)
	if wait == nil {
		return nil
	}
	return func() {
		if len(g.pending) == 0 && g.err == nil {
			wait()
		}
	}
}

type plainConn struct{ gate }

// ReadFrom is for responses of HTTP/1.1 only.
func (c *plainConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// tlsConn tells net/http of the TLS around the connection.
type tlsConn struct {
	gate
	conn *tls.Conn
}

func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.conn.ConnectionState() }

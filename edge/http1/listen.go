package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// listener gives net/http connections whose bytes are checked by [wire], and
// no more of them at once than there are slots. Those without TLS go to plain
// first, which hands on what it does not serve.
type listener struct {
	net.Listener
	tls   *tls.Config
	plain func(c *plainConn, others func(net.Conn))
	slots chan struct{}
	conns chan net.Conn
	ctx   context.Context // its cause is why the listener ended
	stop  context.CancelCauseFunc
}

// handshakeTimeout bounds a TLS handshake.
const handshakeTimeout = 10 * time.Second

func newListener(l net.Listener, config *tls.Config, slots chan struct{}, plain func(*plainConn, func(net.Conn))) *listener {
	n := &listener{Listener: l, tls: config, plain: plain, slots: slots, conns: make(chan net.Conn)}
	n.ctx, n.stop = context.WithCancelCause(context.Background())
	go n.accept()
	return n
}

func (l *listener) accept() {
	for {
		select {
		case l.slots <- struct{}{}:
		case <-l.ctx.Done():
			return
		}
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
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
		s := &slot{Conn: c, free: func() { <-l.slots }}
		if l.tls == nil {
			go l.plain(&plainConn{gate{Conn: s}}, l.give)
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
		l.give(c) // net/http wants to see the *tls.Conn itself
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

// slot is a connection that counts against the limit until it is closed.
type slot struct {
	net.Conn
	once sync.Once
	free func()
}

func (s *slot) Close() error {
	s.once.Do(s.free)
	return s.Conn.Close()
}

func (s *slot) CloseWrite() error { return closeWrite(s.Conn) }

func closeWrite(c net.Conn) error {
	if cw, ok := c.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// gate is a connection whose incoming bytes pass through wire.
type gate struct {
	net.Conn
	wire wire
	err  error
}

// Read is called by one goroutine at a time.
func (g *gate) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.Conn.Read(p)
	if n > 0 && g.wire.state != wireOpaque {
		if bad := g.wire.scan(p[:n]); bad != nil {
			g.err = bad
			return 0, bad
		}
	}
	return n, err
}

func (g *gate) CloseWrite() error { return closeWrite(g.Conn) }

type plainConn struct{ gate }

// tlsConn tells net/http of the TLS around the connection.
type tlsConn struct {
	gate
	conn *tls.Conn
}

func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.conn.ConnectionState() }

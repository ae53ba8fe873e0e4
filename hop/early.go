package hop

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
)

// earlyConn is a connection to an upstream that may answer, and stop reading,
// before it has the whole request: a Worker that refuses a body it has not
// read, for one. The rest of the request then has nowhere to go, but the answer
// is there to be read, so such a write is not an error. What comes to be read
// tells the two cases apart: an answer, or the end.
//
// The first write of a request is different: if that fails, the upstream had
// closed an idle connection, and the request can be sent on another one.
type earlyConn struct {
	net.Conn
	begun atomic.Bool // some of the request was written
}

func (c *earlyConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err == nil {
		c.begun.Store(true)
		return n, nil
	}
	if c.begun.Load() && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)) {
		return len(p), nil
	}
	return n, err
}

// CloseWrite half-closes, for upgraded connections.
func (c *earlyConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// frames counts what a client says on an HTTP/2 connection besides requests
// and their bodies: resets, settings, pings, priorities, window updates, empty
// frames. net/http answers or bounds each by itself, but not how many there
// are, and one that costs the client nine bytes may cost us a goroutine. Who
// has used up the budget is cut off.
//
// The budget grows with time, and with what is written to the client, since
// every download brings window updates.
type frames struct {
	skip   int64 // bytes until the next frame's header
	head   [9]byte
	n      int // bytes of head that are there
	last   time.Time
	budget atomic.Int64
	unpaid atomic.Int64 // bytes written that have not grown the budget yet
}

const (
	frameBudget    = 2000    // at the beginning
	maxFrameBudget = 1 << 16 // more is not saved up
	framesPerSec   = 10
	bytesPerFrame  = 256 // a client sends a window update for 4 KB, or more
)

var errFrames = errors.New("too many control frames")

// newFrames begins skip bytes before the first frame.
func newFrames(skip int64) *frames {
	f := &frames{skip: skip, last: time.Now()}
	f.budget.Store(frameBudget)
	return f
}

// scan takes the next bytes from the client. An error is final.
func (f *frames) scan(p []byte) error {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(f.skip, int64(len(p)))
			f.skip -= n
			p = p[n:]
			continue
		}
		n := copy(f.head[f.n:], p)
		p = p[n:]
		if f.n += n; f.n < len(f.head) {
			return nil
		}
		f.n = 0
		f.skip = int64(f.head[0])<<16 | int64(f.head[1])<<8 | int64(f.head[2])
		if controls(f.head[3], f.head[4], f.skip) && f.budget.Add(-1) < 0 && !f.refill() {
			return errFrames
		}
	}
	return nil
}

// controls reports whether a frame is on account of the budget.
func controls(kind, flags byte, length int64) bool {
	const data, headers, endStream, padded = 0, 1, 1, 8
	switch kind {
	case data:
		return flags&endStream == 0 && (length == 0 || flags&padded != 0 && length <= 256)
	case headers:
		return false // bounded by the streams that are open; what resets them is counted
	}
	return true
}

// refill adds what time has brought, and reports whether that is enough.
func (f *frames) refill() bool {
	now := time.Now()
	n := int64(now.Sub(f.last) * framesPerSec / time.Second)
	if n <= 0 {
		return false
	}
	f.last = now
	return f.budget.Add(min(n, maxFrameBudget)) >= 0
}

// wrote says that n bytes went to the client.
func (f *frames) wrote(n int) {
	if f.unpaid.Add(int64(n)) < bytesPerFrame {
		return
	}
	if more := f.unpaid.Swap(0) / bytesPerFrame; f.budget.Load() < maxFrameBudget {
		f.budget.Add(more)
	}
}

// preface is what an HTTP/2 client says first.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// h2Conn is an HTTP/2 connection over TLS. It does not tell net/http of the
// TLS, which would want the *tls.Conn itself, past the count: net/http finds
// the preface, as without TLS, and ServeHTTP gives each request its TLS.
type h2Conn struct {
	net.Conn // never asked for its ConnectionState
	conn     *tls.Conn
	frames   *frames
	begun    int // bytes of the preface that were read
	err      error
}

func newH2Conn(c *tls.Conn) *h2Conn {
	return &h2Conn{Conn: c, conn: c, frames: newFrames(int64(len(preface)))}
}

// Read is called by one goroutine at a time.
func (c *h2Conn) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.Conn.Read(p)
	if k := min(n, len(preface)-c.begun); k > 0 {
		if string(p[:k]) != preface[c.begun:c.begun+k] {
			c.err = io.EOF // HTTP/1 would come past wire; net/http closes without a word
			return 0, c.err
		}
		c.begun += k
	}
	if c.err = c.frames.scan(p[:n]); c.err != nil {
		return 0, c.err
	}
	return n, err
}

func (c *h2Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.frames.wrote(n)
	return n, err
}

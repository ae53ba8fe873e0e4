package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// short serves a connection without TLS as long as its requests are plain:
// HTTP/1.1 with a common method, header and body together small enough for one
// buffer, and with no wish about the connection but to become a WebSocket.
// Whatever else arrives is handed, with the connection and all that was read of
// it, to net/http, for good: large bodies and those that are slow to come or that
// wait to be asked for, other upgrades, HTTP/1.0, HTTP/2, slow and large headers,
// and everything malformed.
// So nothing is refused here, and what a request says is decided by wire and
// http.ReadRequest, as it is there.
//
// Saved is what net/http does for each request besides: a goroutine that
// watches for the client to leave, the hand-over to and from it, six deadlines.
// Here the watch begins when a request has taken watchAfter.
type short struct {
	server *Server
	conn   *plainConn
	in     *bufio.Reader
	ctx    context.Context
	addr   string // the client's

	state atomic.Int32

	timer *time.Timer // begins the watch
	mu    sync.Mutex
	ended sync.Cond // the watch has ended
	// of the request being served
	out      *bufio.Writer      // the response, header and all
	body     *bufio.Writer      // holds back the beginning of a body, to learn its length
	cancel   context.CancelFunc // nil between requests
	watching bool
	early    []byte // of a later request, read by the watch and so behind what is in in
}

// The states of a short. Only Shutdown makes a waiting one closed.
const (
	waiting = iota
	serving
	closed
)

// watchAfter is how long a request runs before it is noticed that its client
// has left.
const watchAfter = 50 * time.Millisecond

// serveShort serves c until it ends or is handed to others.
func (v *Server) serveShort(c *plainConn, others func(net.Conn)) {
	ctx := context.WithValue(v.base, http.ServerContextKey, v.http)
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, c.LocalAddr())
	ctx, cancel := context.WithCancel(v.options.ConnContext(ctx, c))
	defer cancel()
	s := &short{server: v, conn: c, in: bufio.NewReader(c), ctx: ctx, addr: c.RemoteAddr().String()}
	s.ended.L = &s.mu
	s.timer = time.AfterFunc(time.Hour, s.watch)
	s.timer.Stop()
	next := end
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			v.options.Logger.Error("panic while a request was served", "client", s.addr, "panic", p, "stack", string(debug.Stack()))
		}
		if next == end {
			s.unwatch()
			c.Close()
		}
		v.shorts.remove(s)
	}()
	if !v.shorts.add(s) {
		return
	}
	if next = s.loop(); next == handOver {
		first := s.unread()
		c.SetReadDeadline(time.Time{})
		others(&replayConn{plainConn: c, first: first})
	}
}

// outcome says how it goes on with a connection.
type outcome int

const (
	end      outcome = iota // it is closed
	keepOn                  // with the next request
	handOver                // net/http serves it
	taken                   // the handler has it
)

func (s *short) loop() outcome {
	patience, least := s.server.options.HeaderTimeout, 1
	for {
		if s.in.Buffered() < least {
			s.conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := s.in.Peek(least); err != nil {
				// As net/http does, answer a malformed beginning, and only close
				// a connection that was of use.
				if _, malformed := errors.AsType[errWire](err); malformed && least == 1 {
					return handOver // the error comes again there
				}
				return end
			}
		}
		if !s.state.CompareAndSwap(waiting, serving) {
			return end
		}
		next := handOver
		buffered, _ := s.in.Peek(s.in.Buffered())
		if head, length, ok := plainHead(buffered); ok && !s.conn.wire.gaveUp() && (length == 0 || s.whole(head, length)) {
			next = s.serve()
		}
		if next != keepOn {
			return next
		}
		s.state.Store(waiting)
		if s.server.shorts.closing.Load() {
			return end
		}
		patience, least = s.server.options.IdleTimeout, len("GET ")
	}
}

// serve answers the request at the beginning of s.in, which is whole.
func (s *short) serve() outcome {
	buffered, _ := s.in.Peek(s.in.Buffered())
	r, err := http.ReadRequest(s.in)
	if err != nil || !hold(r) { // net/http shall see it whole and say so
		s.early = bytes.Clone(buffered)
		s.in.Discard(s.in.Buffered())
		return handOver
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	r = r.WithContext(ctx)
	r.RemoteAddr = s.addr
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	s.timer.Reset(watchAfter)
	w := &reply{short: s, request: r, header: http.Header{}, length: -1}
	buffers := replyBuffers.Get().(*outBuffers)
	s.out, s.body = buffers.out, buffers.body
	s.out.Reset(noteErrors{w})
	s.body.Reset((*replyBody)(w))
	s.server.ServeHTTP(w, r)
	s.unwatch()
	if w.hijacked {
		return taken
	}
	cancel()
	w.finish()
	s.out, s.body = nil, nil
	buffers.out.Reset(nil)
	buffers.body.Reset(nil)
	replyBuffers.Put(buffers)
	switch {
	case w.last():
		return end
	case len(s.early) > 0:
		return handOver
	}
	return keepOn
}

// outBuffers are those of one response. A connection without a request has none.
type outBuffers struct{ out, body *bufio.Writer }

// outBuffer is how much of a response is written at once: a small file and its
// header.
const outBuffer = 16 << 10

var replyBuffers = sync.Pool{New: func() any {
	return &outBuffers{bufio.NewWriterSize(nil, outBuffer), bufio.NewWriterSize(nil, holdBack)}
}}

// watch waits for the client to leave while a request is served, and then ends
// the request's context.
func (s *short) watch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel == nil || s.watching {
		return
	}
	s.watching = true
	s.conn.SetReadDeadline(time.Time{})
	s.mu.Unlock()
	var one [1]byte
	n, err := s.conn.Read(one[:])
	s.mu.Lock()
	s.early = append(s.early, one[:n]...)
	if err != nil && s.cancel != nil {
		s.cancel()
	}
	s.watching = false
	s.ended.Broadcast()
}

// unwatch ends the watch. Nobody reads from the connection afterwards.
func (s *short) unwatch() {
	s.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = nil
	for s.watching {
		s.conn.SetReadDeadline(time.Unix(1, 0)) // frees the Read
		s.ended.Wait()
	}
}

// unread returns what was read of the connection and not used. All of it has
// passed wire.
func (s *short) unread() []byte {
	rest, _ := s.in.Peek(s.in.Buffered())
	return append(bytes.Clone(rest), s.early...)
}

// replayConn is a connection of which something was read already.
type replayConn struct {
	*plainConn
	first []byte
}

func (c *replayConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		if c.first = c.first[n:]; len(c.first) == 0 {
			c.first = nil
		}
		return n, nil
	}
	return c.plainConn.Read(p)
}

// ReadWaiter is for await.Readable.
func (c *replayConn) ReadWaiter() func() {
	wait := c.plainConn.ReadWaiter()
	if wait == nil {
		return nil
	}
	return func() {
		if len(c.first) == 0 {
			wait()
		}
	}
}

// plainMethods are those that short serves.
var plainMethods = map[string]bool{
	http.MethodGet: true, http.MethodHead: true, http.MethodPost: true, http.MethodPut: true,
	http.MethodPatch: true, http.MethodDelete: true, http.MethodOptions: true,
}

// plainHead reports whether b, which wire found well-formed, begins with the
// whole header of a request that short serves: its length in bytes, and that of
// the body that follows, -1 for one in chunks.
func plainHead(b []byte) (head int, length int64, ok bool) {
	all := len(b)
	line, b, ok := bytes.Cut(b, crlf)
	method, target, _ := bytes.Cut(line, []byte(" "))
	if !ok || !plainMethods[string(method)] || !bytes.HasPrefix(target, []byte("/")) || !bytes.HasSuffix(line, []byte(" HTTP/1.1")) {
		return 0, 0, false
	}
	var switches, websocket bool // what Connection and Upgrade say
	for {
		if line, b, ok = bytes.Cut(b, crlf); !ok {
			return 0, 0, false
		}
		if len(line) == 0 {
			return all - len(b), length, switches == websocket && (!websocket || string(method) == http.MethodGet)
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		switch len(name) {
		case len("Connection"):
			if equalFold(name, "Connection") {
				switch {
				case equalFold(value, "keep-alive"):
				case equalFold(value, "upgrade"), equalFold(value, "keep-alive, upgrade"): // Firefox sends the latter
					switches = true
				default:
					return 0, 0, false
				}
			}
		case len("Expect"):
			if equalFold(name, "Expect") {
				return 0, 0, false
			}
		case len("Content-Length"):
			if equalFold(name, "Content-Length") {
				n, err := strconv.ParseInt(string(value), 10, 63)
				if err != nil {
					return 0, 0, false
				}
				length = n
			}
		case len("Transfer-Encoding"): // chunked, says wire, and without a length beside it
			if equalFold(name, "Transfer-Encoding") {
				length = -1
			}
		case len("Upgrade"):
			if equalFold(name, "Upgrade") && equalFold(value, "websocket") {
				websocket = true
				break
			}
			if equalFold(name, "Upgrade") || equalFold(name, "Trailer") {
				return 0, 0, false
			}
		}
	}
}

var crlf = []byte("\r\n")

// shorts are the connections that short serves.
type shorts struct {
	closing atomic.Bool
	mu      sync.Mutex
	all     map[*short]struct{}
	none    chan struct{} // closed when closing and the last has ended
}

// add reports whether s may be served.
func (l *shorts) add(s *short) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing.Load() {
		return false
	}
	if l.all == nil {
		l.all = map[*short]struct{}{}
	}
	l.all[s] = struct{}{}
	return true
}

func (l *shorts) remove(s *short) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.all[s]; !ok {
		return
	}
	delete(l.all, s)
	if l.none != nil && len(l.all) == 0 {
		close(l.none)
		l.none = nil
	}
}

// shutdown closes the connections that wait for a request and waits for the
// others; when ctx ends, it closes these too.
func (l *shorts) shutdown(ctx context.Context) error {
	l.closing.Store(true)
	l.mu.Lock()
	for s := range l.all {
		if s.state.CompareAndSwap(waiting, closed) {
			s.conn.Close()
		}
	}
	if l.none == nil {
		l.none = make(chan struct{})
		if len(l.all) == 0 {
			close(l.none)
		}
	}
	none := l.none
	l.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.all {
		s.conn.Close()
	}
	return ctx.Err()
}

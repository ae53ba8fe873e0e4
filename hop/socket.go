package hop

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/hop/await"
)

const (
	// websocketLinger is how long one side of a WebSocket may go on after the
	// other has ended its half. The protocol knows no half-closed connection (RFC
	// 6455, 7.1.1): a client that ended its half has usually left without a word,
	// and a Worker that never writes would not notice.
	websocketLinger = 5 * time.Second
	// farewell is how long a client has to take the rest of a frame and a Close
	// frame, and to answer it, when we end its WebSocket.
	farewell = time.Second
)

// serviceRestart is the Close frame of a WebSocket that we end: its client does
// well to connect again.
//
// Source: https://www.iana.org/assignments/websocket (1012, Service Restart)
var serviceRestart = closeFrame(1012, "")

// socket joins the two halves of a WebSocket. The bytes go on as they are: what
// the two ends have agreed on is theirs.
type socket struct {
	client   net.Conn
	first    []byte // what the client has said already
	upstream io.ReadWriteCloser

	of         *Restart      // nil where there is none
	patience   time.Duration // farewell
	once       sync.Once
	restarting atomic.Bool
	down       frames // those to the client
	sent       int64
	lost       bool // the client cannot be written to
}

// Restart ends WebSockets, all at once. It is safe for concurrent use.
type Restart struct {
	mu      sync.Mutex
	ended   bool
	excuses int
	sockets map[*socket]struct{}
}

// End gives the clients of all WebSockets, and of those that are still to come,
// the frame that is on its way and then a Close frame with code 1012. It does not
// wait for that; the upstreams may be gone when it returns.
func (r *Restart) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for s := range r.sockets {
		s.restart()
	}
}

// Excuse says, until over is called, that a Worker behind the upstreams is being
// replaced: a WebSocket that ends meanwhile without a Close frame led there, and
// its client is told what End tells.
func (r *Restart) Excuse() (over func()) {
	r.excuse(1)
	return sync.OnceFunc(func() { r.excuse(-1) })
}

func (r *Restart) excuse(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.excuses += n
}

func (r *Restart) excused() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.excuses > 0
}

func (r *Restart) add(s *socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		s.restart()
		return
	}
	if r.sockets == nil {
		r.sockets = map[*socket]struct{}{}
	}
	r.sockets[s] = struct{}{}
}

func (r *Restart) remove(s *socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sockets, s)
}

// join returns when both sides have ended, and the number of bytes that went to
// the client. The end of ctx does what that of restart does.
func (s *socket) join(ctx context.Context, restart *Restart) int64 {
	defer context.AfterFunc(ctx, s.restart)()
	if restart != nil {
		s.of = restart
		restart.add(s)
		defer restart.remove(s)
	}
	late := time.AfterFunc(time.Hour, s.end)
	late.Stop()
	defer late.Stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer late.Reset(websocketLinger)
		if err := s.up(); err != nil || !closeWrite(s.upstream) {
			s.end()
		}
	}()
	err := s.toClient()
	late.Reset(websocketLinger)
	if err != nil || !closeWrite(s.client) {
		s.end()
	}
	<-done
	s.end()
	return s.sent
}

func (s *socket) end() {
	s.client.Close()
	s.upstream.Close()
}

// up carries what the client says to the upstream. When that has been closed for
// a restart the rest is only read: a connection with unread bytes would be reset
// and take the Close frame with it.
func (s *socket) up() error {
	if _, err := s.upstream.Write(s.first); err != nil && !s.restarting.Load() {
		return err
	}
	s.first = nil
	return relay(s.client, await.Readable(s.client), func(p []byte) error {
		_, err := s.upstream.Write(p)
		if s.restarting.Load() {
			return nil
		}
		return err
	})
}

// toClient carries what the upstream says to the client.
func (s *socket) toClient() error {
	err := relay(s.upstream, await.Readable(s.upstream), func(p []byte) error {
		s.down.pass(p)
		return s.write(p)
	})
	if s.restarting.Load() && !s.lost {
		return s.sayGoodbye()
	}
	if s.of != nil && !s.lost && !s.down.closed && s.down.between() && s.of.excused() {
		s.client.SetDeadline(time.Now().Add(s.patience))
		return s.write(serviceRestart)
	}
	return err
}

func (s *socket) write(p []byte) error {
	n, err := s.client.Write(p)
	s.sent += int64(n)
	s.lost = err != nil
	return err
}

// deadliner is an upstream whose Read can be made to return.
type deadliner interface{ SetReadDeadline(time.Time) error }

// restart makes toClient say goodbye. An upstream whose Read cannot be ended is
// closed.
func (s *socket) restart() {
	s.once.Do(func() {
		s.restarting.Store(true)
		s.client.SetDeadline(time.Now().Add(s.patience))
		if d, ok := s.upstream.(deadliner); !ok || d.SetReadDeadline(time.Now()) != nil {
			s.upstream.Close()
		}
	})
}

// sayGoodbye lets the frame that has begun come to its end and sends a Close
// frame, unless the upstream has sent one.
func (s *socket) sayGoodbye() error {
	defer s.upstream.Close()
	if d, ok := s.upstream.(deadliner); ok && !s.down.between() {
		d.SetReadDeadline(time.Now().Add(s.patience))
	}
	for p := make([]byte, littleBuffer); !s.down.between(); {
		n, err := s.upstream.Read(p)
		if n == 0 && err != nil {
			return err
		}
		if n > 0 {
			if err := s.write(p[:s.down.next(p[:n])]); err != nil {
				return err
			}
		}
	}
	if s.down.closed {
		return nil
	}
	return s.write(serviceRestart)
}

package edge

import (
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/selvage-edge/selvage/fault"
)

// shares is into how many parts the places for internal requests are divided:
// no Worker has more than one of them.
const shares = 4

// places bound the internal requests that are open at once, over all and for
// each Worker that sends them. It is safe for concurrent use.
type places struct {
	total, share int

	mu    sync.Mutex
	taken int
	by    map[string]int
}

func newPlaces(total int) *places {
	return &places{total: total, share: max(total/shares, 1), by: map[string]int{}}
}

// take gives a place to a request of worker, or says why there is none. Call
// leave when it is answered.
func (p *places) take(worker string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.by[worker] >= p.share:
		return crowded(fmt.Sprintf("The Worker %q has %d requests to hosts of this server open, which is its share.", worker, p.share))
	case p.taken >= p.total:
		return crowded(fmt.Sprintf("Workers have %d requests to hosts of this server open, which is the limit.", p.total))
	}
	p.taken++
	p.by[worker]++
	return nil
}

func (p *places) leave(worker string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.by[worker]--; p.by[worker] == 0 {
		delete(p.by, worker)
	}
}

func (p *places) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

func crowded(message string) error {
	f := fault.Crowded.With(message, nil)
	f.Hint = "call other Workers through service bindings, which have no such limit; a Worker whose fetch() leads back to itself fills its share"
	return f
}

// ports are those on which the edge listens.
type ports struct{ open sync.Map }

func (p *ports) add(l net.Listener) {
	if _, port, err := net.SplitHostPort(l.Addr().String()); err == nil {
		p.open.Store(port, true)
	}
}

// Port returns a handler for the requests that a Worker sends by fetch() to an
// address of this machine, or nil if the edge does not listen on that port. See
// Local: they are answered in the same way, whatever host they name.
func (e *Edge) Port(port string) http.Handler {
	if _, ok := e.ports.open.Load(port); !ok {
		return nil
	}
	return http.HandlerFunc(e.serveInternal)
}

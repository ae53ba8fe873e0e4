package telemetry

import "sync"

// Hub passes tail events on to whoever watches the Worker that made them. The
// zero Hub is ready; it is safe for concurrent use.
type Hub struct {
	mu   sync.RWMutex
	subs map[string]map[*subscription]struct{} // by Worker
}

type subscription struct{ f func(Invocation) }

// Subscribe calls f with each invocation of worker that is published until
// cancel is called. f runs on the publisher's goroutine and must not block.
func (h *Hub) Subscribe(worker string, f func(Invocation)) (cancel func()) {
	s := &subscription{f}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = map[string]map[*subscription]struct{}{}
	}
	if h.subs[worker] == nil {
		h.subs[worker] = map[*subscription]struct{}{}
	}
	h.subs[worker][s] = struct{}{}
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subs[worker], s)
		if len(h.subs[worker]) == 0 {
			delete(h.subs, worker)
		}
	})
}

// Publish passes i on to the subscribers of i.ScriptName.
func (h *Hub) Publish(i Invocation) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for s := range h.subs[i.ScriptName] {
		s.f(i)
	}
}

package http1

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// held is a request's body that has come whole before the handler is asked. As
// net/http's, it cannot be read after it was closed, and may be closed while
// somebody reads it.
type held struct {
	data []byte

	mu     sync.Mutex
	left   bytes.Reader
	closed bool
}

func newHeld(data []byte) *held {
	h := &held{data: data}
	h.left.Reset(data)
	return h
}

// Read implements io.Reader.
func (h *held) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return h.left.Read(p)
}

// Close implements io.Closer.
func (h *held) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	return nil
}

// Held is all of the body, or nil when some of it was read. It is for whoever
// can send it at once; see hop.
func (h *held) Held() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.left.Len() < len(h.data) {
		return nil
	}
	return h.data
}

// bodyMoment is how long short waits for the rest of a small body. Clients that
// write header and body one after the other take less. Whoever takes longer has
// net/http, whose handlers begin before the body has come.
const bodyMoment = 5 * time.Millisecond

// whole reports whether all of a request is in s.in, where its header has head
// bytes and its body length, -1 for one in chunks. It waits a moment for it.
func (s *short) whole(head int, length int64) bool {
	if length > int64(s.in.Size()-head) {
		return false
	}
	complete := func() bool {
		if length >= 0 {
			return s.in.Buffered() >= head+int(length)
		}
		// All that was passed on is whole requests, this one among them.
		return s.conn.wire.state == wireStart && len(s.conn.pending) == 0
	}
	if complete() {
		return true
	}
	s.conn.SetReadDeadline(time.Now().Add(bodyMoment))
	for !complete() {
		if _, err := s.in.Peek(s.in.Buffered() + 1); err != nil { // full, late, or at its end
			return false
		}
	}
	return true
}

// hold reads the body of r, all of which is in memory; false for one with
// trailers, which handlers expect at its end.
func hold(r *http.Request) bool {
	if r.Body == http.NoBody {
		return true
	}
	data, err := io.ReadAll(r.Body)
	if err != nil || len(r.Trailer) > 0 {
		return false
	}
	r.Body = newHeld(data)
	return true
}

package http1

import (
	"errors"
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

// count takes the next frame from the client. An error is final.
func (f *frames) count(h frameHead) error {
	if f.last.IsZero() {
		f.last = time.Now()
		f.budget.Add(frameBudget)
	}
	if controls(h) && f.budget.Add(-1) < 0 && !f.refill() {
		return errFrames
	}
	return nil
}

// controls reports whether a frame is on account of the budget.
func controls(h frameHead) bool {
	switch h.kind {
	case kindData:
		return h.flags&flagEndStream == 0 && (h.length == 0 || h.flags&flagPadded != 0 && h.length <= 256)
	case kindHeaders:
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

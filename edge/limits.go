package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/fault"
)

// Limits is the stage that bounds a request's body and its duration. Zero
// means no bound. The bounds may change at any time and hold for the requests
// that come after.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/#request-limits
type Limits struct {
	body, wall atomic.Int64
}

// SetBody bounds the bytes of a request's body; more is answered with 413.
func (l *Limits) SetBody(bytes int64) { l.body.Store(bytes) }

// SetWall bounds a request from its header to the last byte of its response;
// longer is answered with 524. WebSockets are not bounded.
func (l *Limits) SetWall(d time.Duration) { l.wall.Store(int64(d)) }

// ServeHTTP implements Stage.
func (l *Limits) ServeHTTP(w http.ResponseWriter, r *http.Request, next Handler) error {
	if limit := l.body.Load(); limit > 0 {
		if r.ContentLength > limit {
			return fault.TooLarge.With(fmt.Sprintf("The limit is %d bytes.", limit), nil)
		}
		if r.ContentLength < 0 { // net/http keeps to a length that was given
			r.Body = http.MaxBytesReader(w, r.Body, limit)
		}
	}
	wall := time.Duration(l.wall.Load())
	if wall <= 0 || r.Header.Get("Upgrade") != "" {
		return next.ServeHTTP(w, r)
	}
	late := fault.OriginTimeout.With(fmt.Sprintf("The Worker did not finish within %v.", wall), nil)
	ctx, cancel := context.WithTimeoutCause(r.Context(), wall, late)
	defer cancel()
	err := next.ServeHTTP(w, r.WithContext(ctx))
	if err != nil && errors.Is(context.Cause(ctx), late) {
		return late
	}
	return err
}

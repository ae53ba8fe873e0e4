package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/telemetry"
)

// Dispatch answers r by a Worker: by the named version, or by the one that the
// deployment's percentages and the client's headers choose when version is
// empty. version may be the beginning of an id, at least 8 characters.
//
// The scheme, and the JSON of request.cf, are those of telemetry.RequestFrom
// the request's context.
//
// An error means that nothing was written to w. It is a [*fault.Fault], except
// when the client went away or its body could not be read: then it is the
// context's or the [*hop.Error]. When the Worker fails after it has begun to
// answer, Dispatch panics with http.ErrAbortHandler, which ends the connection.
func (e *Engine) Dispatch(w http.ResponseWriter, r *http.Request, worker, version string) error {
	for {
		wk, err := e.lookup(worker)
		if err != nil {
			return err
		}
		v, err := wk.choose(r.Header, version)
		if err != nil {
			return err
		}
		err = e.serve(w, r, wk, v)
		if errors.Is(err, errRetired) {
			continue // deployed anew in this moment
		}
		return err
	}
}

// forward sends r to a cell of v. A request that can be repeated without harm
// is repeated once when its cell ended before it answered.
func (e *Engine) forward(w http.ResponseWriter, r *http.Request, wk *worker, v *config.Version) error {
	for try := 1; ; try++ {
		c, err := wk.acquire(r.Context(), v)
		if err != nil {
			return err
		}
		err, again := c.forward(w, r)
		if !again || try > 1 {
			return err
		}
	}
}

// forward sends r to the cell. again: the cell has ended by no fault of this
// request, as far as one can tell, and the request may be sent to another.
func (c *cell) forward(w http.ResponseWriter, r *http.Request) (err error, again bool) {
	done := c.release
	defer func() { done() }()
	record, begin := telemetry.RequestFrom(r.Context()), time.Now()
	_, err = c.hop.Forward(w, r, hop.Call{
		Restart: &c.restart,
		Set:     func(h http.Header) { privateHeaders(h, r, record) },
		Inspect: func(res *http.Response) error {
			if res.StatusCode == http.StatusSwitchingProtocols {
				c.upgrade()
				done = c.releaseSocket
			}
			return thrown(res)
		},
	})
	var he *hop.Error
	if !errors.As(err, &he) {
		return err, false
	}
	switch he.Kind {
	case hop.Canceled, hop.Client:
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return fault.TooLarge.With("", err), false
		}
		return err, false
	}
	// The process is ending, or workerd has closed the connection on its own.
	select {
	case <-c.proc.Done():
	case <-r.Context().Done():
		return context.Cause(r.Context()), false
	case <-time.After(time.Second):
		return fault.Unavailable.With("The connection to the Worker broke.", err), he.Kind == hop.Dial || repeatable(r)
	}
	c.reportExceeded(r, begin)
	blamed := c.verdict.Load() != nil || c.exceededMemory()
	return c.cause(), !blamed && (he.Kind == hop.Dial || repeatable(r))
}

// privateHeaders tells the cell the URL's scheme and request.cf. A client's
// copies of our headers are replaced.
func privateHeaders(h http.Header, r *http.Request, record *telemetry.Request) {
	proto := "http"
	if record != nil && record.Scheme != "" {
		proto = record.Scheme
	} else if r.TLS != nil {
		proto = "https"
	}
	h[hop.ProtoHeader] = []string{proto}
	delete(h, hop.CFHeader)
	if record != nil && len(record.CF) > 0 {
		h[hop.CFHeader] = []string{string(record.CF)}
	}
	delete(h, hop.CapabilityHeader)
}

// repeatable: sending r twice does no harm.
func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return r.Body == nil || r.Body == http.NoBody
	}
	return false
}

// uncaught is the body of workerd's answer when an exception leaves fetch().
const uncaught = "Internal Server Error"

// thrown tells workerd's own 500 from one that the Worker made: it closes the
// connection and has no Content-Type.
func thrown(res *http.Response) error {
	if res.StatusCode != http.StatusInternalServerError || res.ContentLength != int64(len(uncaught)) || !res.Close || res.Header["Content-Type"] != nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, int64(len(uncaught))))
	if err != nil {
		return &hop.Error{Kind: hop.Broken, Err: err}
	}
	if string(body) == uncaught {
		return fault.ThrewException
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), res.Body), res.Body}
	return nil
}

// Package fault names what can go wrong with a request on its way to a Worker
// and back, with Cloudflare's error numbers.
//
// Whoever fails a request returns a *Fault; the edge, and only the edge, turns
// it into a page or a JSON body and logs its cause.
//
// Source: https://developers.cloudflare.com/workers/observability/errors/ and
// https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/
package fault

import (
	"errors"
	"fmt"
	"net/http"
)

// Fault is an error with a public face. Message and Hint may be shown to the
// client; Err is for the log only.
type Fault struct {
	// Code is Cloudflare's error number (1101) or, for plain HTTP refusals, zero.
	Code int
	// Status is the HTTP status of the answer.
	Status int
	// Title is a few words: "Worker threw exception".
	Title string
	// Message is a sentence for the client, without secrets.
	Message string
	// Hint tells the operator the next step; shown in `selvage dev` and logged.
	Hint string
	// Err is the private cause; may be nil.
	Err error
}

// Error gives code, title and cause in lower-case style.
func (f *Fault) Error() string {
	text := f.Title
	if f.Code != 0 {
		text = fmt.Sprintf("error %d: %s", f.Code, f.Title)
	}
	if f.Message != "" {
		text += ": " + f.Message
	}
	if f.Err != nil {
		text += ": " + f.Err.Error()
	}
	return text
}

// Unwrap returns the private cause.
func (f *Fault) Unwrap() error { return f.Err }

// Is reports whether target is a Fault with the same code and status, so that
// errors.Is(err, fault.ThrewException) works on copies with a cause.
func (f *Fault) Is(target error) bool {
	t, ok := target.(*Fault)
	return ok && t.Code == f.Code && t.Status == f.Status && t.Title == f.Title
}

// With returns a copy of f with a message for the client and a private cause.
func (f *Fault) With(message string, cause error) *Fault {
	g := *f
	g.Message, g.Err = message, cause
	return &g
}

// From finds the Fault in err's chain, or wraps err as an internal error.
func From(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return Internal.With("", err)
}

// The faults, by Cloudflare's number.
var (
	ThrewException = &Fault{Code: 1101, Status: http.StatusInternalServerError, Title: "Worker threw exception"}
	ExceededCPU    = &Fault{Code: 1102, Status: http.StatusServiceUnavailable, Title: "Worker exceeded resource limits"}
	LoopLimit      = &Fault{Code: 1019, Status: http.StatusInternalServerError, Title: "Worker subrequest loop limit reached"}
	Crowded        = &Fault{Status: http.StatusServiceUnavailable, Title: "Too many requests between Workers"}
	NotConfigured  = &Fault{Code: 1104, Status: http.StatusNotFound, Title: "Host not configured"}
	Unavailable    = &Fault{Code: 1105, Status: http.StatusServiceUnavailable, Title: "Worker temporarily unavailable"}
	StartFailed    = &Fault{Code: 1103, Status: http.StatusServiceUnavailable, Title: "Worker failed to start"}
	RateLimited    = &Fault{Code: 1015, Status: http.StatusTooManyRequests, Title: "You are being rate limited"}
	AccessDenied   = &Fault{Code: 1020, Status: http.StatusForbidden, Title: "Access denied"}
	BadRequest     = &Fault{Status: http.StatusBadRequest, Title: "Bad request"}
	TooLarge       = &Fault{Status: http.StatusRequestEntityTooLarge, Title: "Payload too large"}
	OriginDown     = &Fault{Code: 521, Status: 521, Title: "Web server is down"}
	OriginTimeout  = &Fault{Code: 524, Status: 524, Title: "A timeout occurred"}
	TLSFailed      = &Fault{Code: 526, Status: 526, Title: "Invalid SSL certificate"}
	Internal       = &Fault{Status: http.StatusInternalServerError, Title: "Internal error"}
)

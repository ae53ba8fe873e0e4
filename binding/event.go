package binding

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// Events brings events to Workers. The engine implements it; products send by
// it. It is safe for concurrent use, and sends as many events at once as it is
// asked to: how many a Worker gets is the product's decision.
type Events interface {
	// Send runs a Worker's handler for e and waits for it and, where the kind of
	// event says so, for what it gave to waitUntil. A handler that fails is an
	// Outcome, not an error.
	//
	// After an error that is [ErrNotBegun] the event may be sent again. After any
	// other error the handler may have run, in part or to its end.
	Send(ctx context.Context, worker string, e Event) (Outcome, error)
}

// ErrNotBegun: the handler has not run for the event and will not: there is no
// such Worker, its process could not be started or reached, the event does not
// fit, the server is shutting down. Errors of Send hold it beside the cause.
var ErrNotBegun = errors.New("the event did not reach the Worker")

// ErrNoHandler is what Event.Call returns for a handler without the method that
// the event needs.
var ErrNoHandler = errors.New("the Worker has no handler for this event")

// MaxEventBody bounds Event.Body, in bytes: the largest e-mail (25 MiB) and the
// largest queue batch (100 messages of 128 KB) fit.
const MaxEventBody = 26 << 20

// EventLimit is the wall time of a handler whose Event.Limit is 0: that of cron
// triggers, queue consumers and e-mail.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/#wall-time
const EventLimit = 15 * time.Minute

// Event is something other than a request that a Worker is run for: a cron
// trigger, a batch of a queue, an e-mail. A kind of event is a function of its
// product that makes one, and a case in engine/shim.js.
type Event struct {
	// Type is the name of the handler in JavaScript: "queue".
	Type string
	// ID is to the event what a Ray ID is to a request, and has its form: the
	// Worker's console lines and subrequests carry it, and its tail event. Empty:
	// Send makes one.
	ID string
	// Limit bounds the handler's wall time, from the moment that the Worker has
	// the event. Beyond it the outcome is "exceededWallTime". 0: EventLimit.
	Limit time.Duration
	// Head marshals to the JSON that the shim's case reads; at most 1 MiB.
	Head any
	// Body is what follows the head: Size bytes, sent as they are while they are
	// read. Nil: nothing.
	Body io.Reader
	Size int64

	// Call gives the event to the handler of a Worker in Go, by a method that
	// Call looks for. Without it, it returns ErrNoHandler.
	Call func(ctx context.Context, handler http.Handler) error
	// Answer is asked for Outcome.Result once a Worker in Go has done everything,
	// also after Call has failed or panicked. Nil: there is none.
	Answer func() any
	// Info marshals to the event's description in tail events of Workers in Go.
	Info any
}

// Outcome is how a handler ended.
type Outcome struct {
	// Outcome is "ok", "exception", "exceededWallTime", … as in tail events.
	//
	// Source: https://developers.cloudflare.com/workers/runtime-apis/handlers/tail/
	Outcome string `json:"outcome"`
	// NoRetry: the handler asked not to be called again, or there is none.
	NoRetry bool `json:"noRetry"`
	// Result is what the handler answered, in JSON that the kind of event
	// defines: a queue's acknowledgements. Nil where it has nothing to answer.
	Result json.RawMessage `json:"result,omitempty"`
	// Body is what Result describes and JSON cannot hold: the replies to an
	// e-mail, one after the other.
	Body []byte `json:"-"`
}

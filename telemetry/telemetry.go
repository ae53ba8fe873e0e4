// Package telemetry holds what the parts of the platform say about a request
// and about a Worker: the Ray ID, log lines, tail events and metrics.
package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"time"
)

// Colo is the name of this location in Ray IDs, CF-Ray and request.cf.colo.
const Colo = "LOC"

// NewRay returns a Ray ID: 16 hexadecimal characters, without the colo.
func NewRay() string {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(b[:])
}

// Request is the one record of a request, made when the edge accepts it and
// carried by its context through every stage, cell, binding and log line. Its
// fields are set before the request is passed on and not changed afterwards.
type Request struct {
	// Ray is the Ray ID without the colo.
	Ray string
	// Scheme is "http" or "https", as the client used it.
	Scheme string
	// ClientIP is the address of the client, or of the nearest proxy that is
	// not trusted.
	ClientIP netip.Addr
	// CF is the JSON that the Worker sees as request.cf.
	CF json.RawMessage
	// Start is when the request was accepted.
	Start time.Time
	// Depth counts the Workers that this request has passed through by fetch()
	// of a host served here; the edge refuses loops with it.
	Depth int
	// Loops counts how often it has left a Worker here by fetch() and come back,
	// through other servers, too. See hop.Loops.
	Loops int
}

type requestKey struct{}

// WithRequest returns a context that carries r.
func WithRequest(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestFrom returns the record of the request, or nil outside of one.
func RequestFrom(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}

// Line is one line that a Worker wrote with console.* or that workerd wrote
// about it.
type Line struct {
	Time    time.Time `json:"time"`
	Worker  string    `json:"worker"`
	Version string    `json:"version"`
	// Ray is the Ray ID of the request, or the id of the event, that the line
	// belongs to, where it is known.
	Ray string `json:"ray,omitempty"`
	// Level is debug, info, log, warn or error.
	Level   string `json:"level"`
	Message string `json:"message"`
	// Runtime: the line is workerd's own, not the Worker's.
	Runtime bool `json:"runtime,omitempty"`
}

// Call is one call of a Worker to a binding that we serve.
type Call struct {
	Worker string
	// Binding is its name in env; "fetch" for what fetch() and connect() send.
	Binding string
	// Type is Cloudflare's name for the kind: "kv_namespace", "d1", …; "fetch".
	Type string
	// Ray is the Ray ID of the request that made the call, where it is known.
	Ray string
	// Status is the HTTP status that the runtime got.
	Status   int
	Duration time.Duration
}

// Event is one event, other than a request, that was sent to a Worker.
type Event struct {
	Worker string
	// Type is binding.Event's: "scheduled", "queue", …
	Type string
	// Outcome is how the handler ended, as in tail events: "ok", "exception", …;
	// "unreached" where no handler ran, "lost" where nobody can tell.
	Outcome  string
	Duration time.Duration
}

// Invocation is one tail event: everything about one run of a handler.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/handlers/tail/
type Invocation struct {
	// ScriptName and ScriptVersion say which Worker ran.
	ScriptName    string          `json:"scriptName"`
	ScriptVersion *ScriptVersion  `json:"scriptVersion,omitempty"`
	Entrypoint    string          `json:"entrypoint,omitempty"`
	Outcome       string          `json:"outcome"`
	Event         json.RawMessage `json:"event"`
	// Ray is the Ray ID of the request, or the id of the event, where it is known.
	Ray string `json:"-"`
	// EventTimestamp in milliseconds since 1970.
	EventTimestamp int64       `json:"eventTimestamp"`
	Logs           []Log       `json:"logs"`
	Exceptions     []Exception `json:"exceptions"`
	ExecutionModel string      `json:"executionModel,omitempty"`
	Truncated      bool        `json:"truncated"`
	// CPUTime and WallTime in milliseconds, measured outside of workerd.
	CPUTime  float64 `json:"cpuTime"`
	WallTime float64 `json:"wallTime"`
}

// ScriptVersion names a version in a tail event.
type ScriptVersion struct {
	ID      string `json:"id"`
	Tag     string `json:"tag,omitempty"`
	Message string `json:"message,omitempty"`
}

// Log is one console line of an invocation.
type Log struct {
	Timestamp int64           `json:"timestamp"`
	Level     string          `json:"level"`
	Message   json.RawMessage `json:"message"`
}

// Exception is an uncaught exception of an invocation. Stack is source-mapped
// where a map is known.
type Exception struct {
	Timestamp int64  `json:"timestamp"`
	Name      string `json:"name"`
	Message   string `json:"message"`
	Stack     string `json:"stack,omitempty"`
}

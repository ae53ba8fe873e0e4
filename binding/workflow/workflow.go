// Package workflow is Cloudflare Workflows: functions of steps that last for
// hours or months, and survive whatever stops the program in between.
//
// # Promises
//
//   - Durable when acknowledged: an instance whose creation has returned, an event
//     that was sent, and the result of a step survive kill -9 and power loss.
//   - A completed step never runs again. After a crash, a deployment or a long
//     sleep the function runs from its start, and each step that has completed
//     returns what it returned the first time.
//   - At least once: a step that was cut off in the middle runs again. That it was
//     cut off by a crash counts as a failed attempt; that it was by a shutdown
//     does not.
//   - An instance that waits costs no process and no memory: when all steps of a
//     run have been waiting for [linger], and will wait for longer, the run ends,
//     and another one begins when the first of them is due.
//   - A deployment in the middle cuts off what runs; the run begins anew on the new
//     version.
//
// # How it works
//
// A Workflow has a goroutine, which starts runs of its instances when they are due
// (schedule.go). A run is an event of the Worker that has the class
// (engine/steps.js): the step functions of JavaScript call back for each step, and
// run.go says what is known of it or has it run. All state is in the node's keyed
// store; record.go has the format.
//
// # Limits
//
// Those of https://developers.cloudflare.com/workflows/reference/limits/; see the
// constants.
//
// Source: https://developers.cloudflare.com/workflows/
package workflow

import (
	"fmt"
	"net/http"
	"regexp"
	"time"
)

// Cloudflare's limits.
const (
	// MaxNameChars is the longest name of a Workflow.
	MaxNameChars = 64
	// MaxIDChars is the longest id of an instance.
	MaxIDChars = 100
	// MaxStepNameChars is the longest name of a step.
	MaxStepNameChars = 256
	// MaxEventTypeChars is the longest type of an event.
	MaxEventTypeChars = 100
	// MaxBatch is the number of instances in one call.
	MaxBatch = 100
	// MaxValueBytes is the size of parameters, of an event's payload and of what a
	// step or an instance returns.
	MaxValueBytes = 1 << 20
	// DefaultSteps is how many steps an instance may have unless the Workflow's
	// limits say otherwise, MaxSteps how many those may allow. Sleeps do not count.
	DefaultSteps = 10_000
	MaxSteps     = 25_000
	// MaxSleep is the longest sleep, and the longest wait for an event.
	MaxSleep = 365 * 24 * time.Hour
	// MaxStateBytes bounds what the steps of an instance have returned.
	MaxStateBytes = 1 << 30
	// DefaultRetention is how long an instance that has ended is kept.
	DefaultRetention = 30 * 24 * time.Hour
)

// MaxRunning is how many instances of a Workflow run at once; the others are
// queued. Those that sleep do not count.
const MaxRunning = 500

// Status is what an instance does.
//
// Source: https://developers.cloudflare.com/workflows/build/workers-api/#instancestatus
type Status string

// The statuses.
const (
	Queued          Status = "queued"
	Running         Status = "running"
	Paused          Status = "paused"
	Errored         Status = "errored"
	Terminated      Status = "terminated"
	Complete        Status = "complete"
	WaitingForPause Status = "waitingForPause"
	Waiting         Status = "waiting"
	RollingBack     Status = "rollingBack"
)

// statuses are in the order of their codes in an index.
var statuses = []Status{Queued, Running, Paused, Errored, Terminated, Complete, WaitingForPause, Waiting, RollingBack}

// ended reports whether nothing will happen to the instance by itself.
func (s Status) ended() bool { return s == Complete || s == Errored || s == Terminated }

func (s Status) code() int {
	for i, known := range statuses {
		if s == known {
			return i
		}
	}
	return -1
}

// Failure is why a step or an instance failed.
type Failure struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

// Error implements error.
func (f *Failure) Error() string { return f.Name + ": " + f.Message }

// Error is a refusal in Cloudflare's words.
type Error struct {
	// Status and Code are those of the REST API.
	Status int
	Code   int
	// Text is what the message of the exception is in a Worker.
	Text string
	// Reply is the message of the REST API; empty: Text.
	Reply string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// The errors that callers act on. Match them with errors.Is.
var (
	// ErrNoInstance: there is no instance with that id, or no longer.
	ErrNoInstance = &Error{http.StatusNotFound, 10400, "instance.not_found", "workflows.api.error.instance.not_found"}
	// ErrExists: there is an instance with that id.
	ErrExists = &Error{http.StatusConflict, 10405, "WorkflowError: (instance.already_exists) Workflow instance already exists", "workflows.api.error.instance.already_exists"}
	// ErrNoWorkflow: there is no Workflow of that name.
	ErrNoWorkflow = &Error{http.StatusNotFound, 10200, "WorkflowError: (workflow.not_found) Workflow does not exist", "workflows.api.error.workflow_not_found"}
	// ErrInvalidID: an instance cannot have that id.
	ErrInvalidID = &Error{http.StatusBadRequest, 10402, "WorkflowError: Workflow instance has invalid id", "workflows.api.error.instance.invalid_id"}
)

// codeBody is the code of a call whose arguments are wrong.
const codeBody = 10001

// refuse words a refusal as the runtime does: a code in words, and a text.
func refuse(status, code int, word, format string, args ...any) *Error {
	text := fmt.Sprintf(format, args...)
	return &Error{Status: status, Code: code, Text: fmt.Sprintf("WorkflowError: (%s) %s", word, text), Reply: text}
}

func badBody(format string, args ...any) *Error {
	return refuse(http.StatusBadRequest, codeBody, "body", format, args...)
}

// exists is ErrExists with the id in its text.
func exists(id string) error {
	return fmt.Errorf("%w", &existsError{id})
}

type existsError struct{ id string }

func (e *existsError) Error() string {
	return fmt.Sprintf("WorkflowError: (instance.already_exists) Workflow instance with id %q already exists", e.id)
}

func (e *existsError) Is(target error) bool { return target == ErrExists }

var (
	validName   = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9-_]*$`)
	validType   = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	scheduledID = regexp.MustCompile(`^cf_[0-9a-f]{64}$`)
)

// checkName says what is wrong with the name of a Workflow.
func checkName(name string) error {
	if len(name) > MaxNameChars || !validName.MatchString(name) {
		return fmt.Errorf("%q is no name of a Workflow: use 1 to %d letters, digits, hyphens and underscores, not beginning with a hyphen", name, MaxNameChars)
	}
	return nil
}

// validID reports whether an instance can have the id.
func validID(id string) bool { return len(id) <= MaxIDChars && validName.MatchString(id) }

// reservedID reports whether an id would be mistaken for something else in the
// REST API.
func reservedID(id string) bool {
	return id == "batch" || id == "terminate" || id == "terminateAll" || scheduledID.MatchString(id)
}

// fatal is a mistake in a call of a step: it fails the run unless the function
// handles it.
func fatal(format string, args ...any) *Failure {
	return &Failure{"WorkflowFatalError", fmt.Sprintf(format, args...)}
}

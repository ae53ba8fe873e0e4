// Package queue is Cloudflare Queues: messages that Workers send and that a
// Worker, or a client of the REST API, receives later.
//
// # Promises
//
//   - Durable when acknowledged: a message whose send has returned survives
//     kill -9 and power loss, and so does its acknowledgement.
//   - At least once: a message is delivered until it is acknowledged, has been
//     tried too often or is older than the queue's retention. One whose
//     acknowledgement was acknowledged is never delivered again. A crash in the
//     middle of a delivery makes the message be delivered again; the attempt
//     that the crash cut off is not counted: that would take a durable write
//     before each delivery.
//   - Oldest first, as far as nobody asks for a delay. There is no promise of
//     order, as on Cloudflare.
//   - A queue that is full refuses messages and loses none.
//   - Memory does not grow with the backlog: counts are kept with every commit,
//     and only messages that are being delivered are held.
//
// A push consumer's invocations begin with one at a time. Each that succeeds
// while more messages wait allows one more, up to max_concurrency or
// [MaxConcurrency]; each that fails halves them. A consumer whose Worker cannot
// be reached is tried again after a pause that doubles from one second to one
// minute, without an attempt being counted.
//
// # Storage
//
// All is in the node's keyed store; record.go has the format. Every queue has
// one writer at a time, which commits for all who wait (commit.go), so that
// counts are exact and concurrent senders share the cost of durability.
//
// # Limits
//
// Those of https://developers.cloudflare.com/queues/platform/limits/; see the
// constants. There is no limit on messages per second.
//
// Source: https://developers.cloudflare.com/queues/
package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Cloudflare's limits.
const (
	// MaxQueues is the number of queues of an account.
	MaxQueues = 10_000
	// MaxMessageBytes is the largest body of a message.
	MaxMessageBytes = 128_000
	// MaxBatchMessages and MaxBatchBytes bound the messages of one SendBatch,
	// MaxBatchMessages also those of one delivery.
	MaxBatchMessages = 100
	MaxBatchBytes    = 256_000
	// MaxDelay is the longest delay of a message, when it is sent or retried.
	MaxDelay = 24 * time.Hour
	// MaxRetries is the largest number of retries.
	MaxRetries = 100
	// MaxBatchWait is the longest wait for a batch to fill.
	MaxBatchWait = time.Minute
	// MaxConcurrency is the largest number of batches in a Worker's hands.
	MaxConcurrency = 250
	// MaxVisibility is the longest lease of a pulled message.
	MaxVisibility = 12 * time.Hour
	// MinRetention, MaxRetention and DefaultRetention say how long messages are
	// kept.
	MinRetention     = time.Minute
	MaxRetention     = 14 * 24 * time.Hour
	DefaultRetention = 4 * 24 * time.Hour
	// MaxBacklogBytes bounds the bodies of a queue's messages.
	MaxBacklogBytes = 25_000_000_000
	// MaxNameChars is the longest name of a queue.
	MaxNameChars = 63
)

// ContentType says how a body came to be, and what a Worker in JavaScript gets.
type ContentType string

// The content types.
//
// Source: https://developers.cloudflare.com/queues/configuration/javascript-apis/#queuescontenttype
const (
	JSON  ContentType = "json"
	Text  ContentType = "text"
	Bytes ContentType = "bytes"
	// V8 is JavaScript's structured clone, which only Workers in JavaScript can
	// make and read.
	V8 ContentType = "v8"
)

// contentTypes are in the order of their codes in a record.
var contentTypes = []ContentType{JSON, Text, Bytes, V8}

// NoDelay as a Message's Delay has it delivered at once whatever the defaults.
const NoDelay time.Duration = -1

// Message is a message to send.
type Message struct {
	Body []byte
	// ContentType of the body. Empty: JSON.
	ContentType ContentType
	// Delay until the message is delivered, in whole seconds. Zero: the
	// binding's, or else the queue's.
	Delay time.Duration
}

// Metrics describe a queue's backlog.
type Metrics struct {
	// Count and Bytes are of the messages that are not acknowledged yet.
	Count, Bytes int64
	// Oldest is when the first of them was sent; zero if there is none.
	Oldest time.Time
}

// The errors that callers act on. Match them with errors.Is.
var (
	// ErrNotFound: there is no such queue, or it has been deleted.
	ErrNotFound = &Error{http.StatusNotFound, 10104, "Queue does not exist"}
	// ErrFull: the queue holds as much as it may.
	ErrFull = &Error{http.StatusTooManyRequests, 10251, "Storage Limit Exceeded"}
	// ErrOverloaded: the disk has no room for another message.
	ErrOverloaded = &Error{http.StatusTooManyRequests, 10250, "Queue is overloaded. Please back off."}
	// ErrNameTaken: another queue has the name.
	ErrNameTaken = errors.New("queue name is taken")
	// ErrConsumerExists: the queue has a consumer, and can have one only.
	ErrConsumerExists = errors.New("queue already has a consumer")
	// ErrConsumerNotFound: the queue has no such consumer.
	ErrConsumerNotFound = errors.New("consumer not found")
)

// Error is a refusal, as Cloudflare words and numbers it.
//
// Source: https://developers.cloudflare.com/queues/reference/error-codes/
type Error struct {
	// Status is that of the answer over HTTP.
	Status int
	Code   int
	// Text says what is wrong.
	Text string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Cloudflare's codes.
const (
	codeBatchDelay   = 10202
	codeMetadata     = 10203
	codeMessageSize  = 10204
	codeBatchSize    = 10205
	codeBatchCount   = 10206
	codeBody         = 10207
	codeJSON         = 10208
	codeUnknown      = 15000
	codeConsumer     = 100127 // the settings of a consumer
	codeSettings     = 100128 // the settings of a queue
	codeNameTaken    = 11009
	codeConsumerHere = 11004
	codeBound        = 11005
)

func refuse(status, code int, format string, args ...any) *Error {
	return &Error{status, code, fmt.Sprintf(format, args...)}
}

func refuseType(t string) *Error {
	return refuse(http.StatusBadRequest, codeMetadata, "message content type %s is invalid; if specified, must be one of 'text', 'json', 'bytes', or 'v8'", t)
}

func refuseDelay(code int, what string, seconds any) *Error {
	return refuse(http.StatusBadRequest, code, "%s delay %v is invalid; it must be a whole number of seconds from 0 to %d", what, seconds, MaxDelay/time.Second)
}

// checkBatch says what is wrong with messages to send.
func checkBatch(list []Message) error {
	if len(list) == 0 || len(list) > MaxBatchMessages {
		return refuse(http.StatusRequestEntityTooLarge, codeBatchCount, "batch message count of %d exceeds limit of %d", len(list), MaxBatchMessages)
	}
	size := 0
	for _, m := range list {
		if err := m.check("message in batch has length %d bytes which exceeds single message size limit of %d"); err != nil {
			return err
		}
		size += len(m.Body)
	}
	if size > MaxBatchBytes {
		return refuse(http.StatusRequestEntityTooLarge, codeBatchSize, "batch size of %d bytes exceeds limit of %d", size, MaxBatchBytes)
	}
	return nil
}

// check says what is wrong with a message; tooLarge words that one mistake.
func (m Message) check(tooLarge string) error {
	if len(m.Body) > MaxMessageBytes {
		return refuse(http.StatusRequestEntityTooLarge, codeMessageSize, tooLarge, len(m.Body), MaxMessageBytes)
	}
	if m.ContentType != "" && m.ContentType.code() < 0 {
		return refuseType(string(m.ContentType))
	}
	if (m.ContentType == JSON || m.ContentType == "") && !json.Valid(m.Body) {
		return refuse(http.StatusBadRequest, codeMetadata, "message body is not valid JSON; send it with another content type")
	}
	if m.Delay != NoDelay && (m.Delay < 0 || m.Delay > MaxDelay) {
		return refuseDelay(codeMetadata, "message", m.Delay.Seconds())
	}
	return nil
}

// code is the type's number in a record, -1 for a type that does not exist.
func (t ContentType) code() int {
	for i, known := range contentTypes {
		if t == known {
			return i
		}
	}
	return -1
}

package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/selvage-edge/selvage/binding"
)

// Handler is the handler of a Worker in Go that receives messages, too. An error
// or a panic has every message delivered again that was not decided about.
type Handler interface {
	Queue(ctx context.Context, b *Batch) error
}

// Batch is what a consumer receives: messages, and what is to become of them.
// When the handler has returned, those it did not decide about are
// acknowledged. The first decision about a message, or about the batch, counts.
// It is safe for concurrent use.
//
// Source: https://developers.cloudflare.com/queues/configuration/javascript-apis/#messagebatch
type Batch struct {
	// Queue is the name of the queue.
	Queue    string
	Messages []*Received
	// Metrics are of the queue as the batch was delivered.
	Metrics Metrics

	mu     sync.Mutex
	ackAll bool
	retry  retryBatch
}

// Received is a message of a Batch.
type Received struct {
	// ID is 32 hexadecimal characters.
	ID string
	// Sent is when the message was sent.
	Sent time.Time
	// Attempts counts the deliveries, this one included.
	Attempts    int
	ContentType ContentType
	Body        []byte

	batch   *Batch
	decided verdict
	delay   *int
}

// verdict is what was decided about a message.
type verdict byte

const (
	undecided verdict = iota
	acked
	retried
)

// Ack acknowledges the message: it is not delivered again, even if the handler
// fails later.
func (m *Received) Ack() { m.decide(acked, nil) }

// Retry has the message delivered again, after a delay in whole seconds or, if
// that is 0, after the consumer's.
func (m *Received) Retry(delay time.Duration) { m.decide(retried, seconds(delay)) }

func (m *Received) decide(v verdict, delay *int) {
	m.batch.mu.Lock()
	defer m.batch.mu.Unlock()
	if m.decided == undecided && !m.batch.ackAll && !m.batch.retry.Retry {
		m.decided, m.delay = v, delay
	}
}

// AckAll acknowledges every message about which nothing else was decided.
func (b *Batch) AckAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ackAll = !b.retry.Retry
}

// RetryAll has every message delivered again about which nothing else was
// decided; see Received.Retry.
func (b *Batch) RetryAll(delay time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ackAll && !b.retry.Retry {
		b.retry = retryBatch{true, seconds(delay)}
	}
}

func seconds(d time.Duration) *int {
	if d == 0 {
		return nil
	}
	n := int(max(d, 0) / time.Second)
	return &n
}

// answer is what a handler decided, in the words of the runtime.
type answer struct {
	AckAll       bool           `json:"ackAll"`
	RetryBatch   retryBatch     `json:"retryBatch"`
	ExplicitAcks []string       `json:"explicitAcks"`
	Retries      []retryMessage `json:"retryMessages"`
}

type retryBatch struct {
	Retry bool `json:"retry"`
	Delay *int `json:"delaySeconds,omitempty"`
}

type retryMessage struct {
	ID    string `json:"msgId"`
	Delay *int   `json:"delaySeconds,omitempty"`
}

// answer is what was decided, for a Worker in Go.
func (b *Batch) answer() any {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := answer{AckAll: b.ackAll, RetryBatch: b.retry}
	for _, m := range b.Messages {
		switch m.decided {
		case acked:
			a.ExplicitAcks = append(a.ExplicitAcks, m.ID)
		case retried:
			a.Retries = append(a.Retries, retryMessage{m.ID, m.delay})
		}
	}
	return a
}

// message describes a message to the shim, with its body or with the type and
// the size of one that follows the JSON.
type message struct {
	ID          string          `json:"id"`
	Timestamp   int64           `json:"timestamp"`
	Attempts    int             `json:"attempts"`
	Body        json.RawMessage `json:"body,omitempty"`
	ContentType ContentType     `json:"contentType,omitempty"`
	Size        int             `json:"size,omitempty"`
}

// maxInline bounds the bodies of a batch that are part of the JSON, in bytes:
// escaped they may be six times as long.
const maxInline = 128 << 10

// inline is the body as JSON; nil if it is neither JSON nor a text.
func (m *Received) inline() json.RawMessage {
	switch {
	case m.ContentType == JSON: // no queue takes what is not valid
		return m.Body
	case m.ContentType == Text && utf8.Valid(m.Body):
		text, _ := json.Marshal(string(m.Body)) // a string
		return text
	}
	return nil
}

// event makes the event that brings the batch to a Worker. The outcome covers
// what the handler gives to waitUntil.
func (b *Batch) event() binding.Event {
	list := make([]message, len(b.Messages))
	var bodies []io.Reader
	size, inlined := 0, 0
	for i, m := range b.Messages {
		m.batch = b
		list[i] = message{ID: m.ID, Timestamp: m.Sent.UnixMilli(), Attempts: m.Attempts}
		if inlined+len(m.Body) <= maxInline {
			list[i].Body = m.inline()
		}
		if list[i].Body != nil {
			inlined += len(m.Body)
			continue
		}
		list[i].ContentType, list[i].Size = m.ContentType, len(m.Body)
		bodies = append(bodies, bytes.NewReader(m.Body))
		size += len(m.Body)
	}
	return binding.Event{
		Type: "queue",
		Head: map[string]any{"queue": b.Queue, "messages": list, "metrics": b.Metrics.json()},
		Body: io.MultiReader(bodies...), Size: int64(size),
		Info: map[string]any{"queue": b.Queue, "batchSize": len(list)},
		Call: func(ctx context.Context, handler http.Handler) error {
			h, ok := handler.(Handler)
			if !ok {
				return fmt.Errorf("queue %s: %w", b.Queue, binding.ErrNoHandler)
			}
			return h.Queue(ctx, b)
		},
		Answer: b.answer,
	}
}

// metrics are the JSON that the runtime expects.
type metrics struct {
	Count  int64 `json:"backlogCount"`
	Bytes  int64 `json:"backlogBytes"`
	Oldest int64 `json:"oldestMessageTimestamp"`
}

func (m Metrics) json() metrics {
	j := metrics{Count: m.Count, Bytes: m.Bytes}
	if !m.Oldest.IsZero() {
		j.Oldest = m.Oldest.UnixMilli()
	}
	return j
}

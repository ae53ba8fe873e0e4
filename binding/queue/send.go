package queue

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Producer sends messages to a queue: what a Worker's binding is to JavaScript.
// It is safe for concurrent use.
type Producer struct {
	q *Queue
	// delay is the binding's; negative: the queue's counts.
	delay time.Duration
}

// Producer returns a producer of the queue. A delay that is not negative holds
// back messages that are sent without one, in place of the queue's.
func (q *Queue) Producer(delay time.Duration) *Producer { return &Producer{q, delay} }

// Queue is the queue that the producer sends to.
func (p *Producer) Queue() *Queue { return p.q }

// Send stores a message, durably.
func (p *Producer) Send(ctx context.Context, m Message) error {
	if err := m.check("message length of %d bytes exceeds limit of %d"); err != nil {
		return err
	}
	return p.store(ctx, []Message{m})
}

// SendJSON sends v as JSON.
func (p *Producer) SendJSON(ctx context.Context, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return p.Send(ctx, Message{Body: body})
}

// SendBatch stores 1 to MaxBatchMessages messages, durably: all of them or, with
// an error, none.
func (p *Producer) SendBatch(ctx context.Context, list []Message) error {
	if err := checkBatch(list); err != nil {
		return err
	}
	return p.store(ctx, list)
}

// Metrics describes the queue's backlog.
func (p *Producer) Metrics() Metrics { return p.q.Metrics() }

func (p *Producer) store(ctx context.Context, list []Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	records := make([]record, len(list))
	size := int64(0)
	for i, m := range list {
		// The body is copied before update returns.
		records[i] = record{kind: byte(max(m.ContentType.code(), 0)), size: len(m.Body), body: m.Body}
		rand.Read(records[i].id[:])
		size += int64(len(m.Body))
	}
	return p.q.update(func(t *tx) error {
		if t.bytes+size > p.q.store.max {
			return ErrFull
		}
		for i := range records {
			records[i].sent = t.now
			t.add(t.now+p.delayOf(t, list[i].Delay).Milliseconds(), &records[i])
		}
		return nil
	})
}

// delayOf is the delay that counts.
func (p *Producer) delayOf(t *tx, own time.Duration) time.Duration {
	switch {
	case own != 0:
		return max(own, 0)
	case p.delay >= 0:
		return p.delay
	}
	return time.Duration(t.settings.DeliveryDelay) * time.Second
}

// bury moves messages to another queue, its dead letter queue. One that both
// have after a crash was not acknowledged by anybody.
func (q *Queue) bury(list []*taken, to *Queue) error {
	records := make([]record, 0, len(list))
	for _, m := range list {
		err := q.load(m)
		if err == errGone {
			continue
		}
		if err != nil {
			return err
		}
		r := m.record
		r.leased, r.attempts = false, 0
		records = append(records, r)
	}
	// Batches stay small enough that memory does too.
	for part := range slices.Chunk(records, MaxBatchMessages) {
		size := int64(0)
		for _, r := range part {
			size += int64(r.size)
		}
		err := to.update(func(t *tx) error {
			if t.bytes+size > to.store.max {
				return ErrFull
			}
			for i := range part {
				part[i].aside = max(t.now-part[i].sent, 0)
				t.add(t.now, &part[i])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return q.drop(list)
}

package queue

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// The types of consumers.
const (
	typeWorker = "worker"
	typePull   = "http_pull"
)

// Consumer says who gets a queue's messages, in the words of the REST API.
type Consumer struct {
	ID string `json:"consumer_id"`
	// Type is "worker" or "http_pull".
	Type string `json:"type"`
	// Script is the Worker's name; empty for http_pull.
	Script string `json:"script,omitempty"`
	// DeadLetterQueue is the name of the queue for messages that were tried too
	// often. Empty: they are deleted.
	DeadLetterQueue string           `json:"dead_letter_queue,omitempty"`
	Settings        ConsumerSettings `json:"settings"`
	Created         time.Time        `json:"created_on"`
}

// ConsumerSettings say how messages are delivered. Nil fields are defaults.
type ConsumerSettings struct {
	// BatchSize is the number of messages at which a batch is delivered, or that
	// a pull gets at most. Default 10 for a Worker, 5 for pulls.
	BatchSize *int `json:"batch_size,omitempty"`
	// MaxWaitTime is how long a batch waits to be filled, in ms. Default 5000.
	MaxWaitTime *int `json:"max_wait_time_ms,omitempty"`
	// MaxRetries is how often a message is tried again. Default 3.
	MaxRetries *int `json:"max_retries,omitempty"`
	// MaxConcurrency is how many batches the Worker is given at once at most.
	// Default: MaxConcurrency.
	MaxConcurrency *int `json:"max_concurrency,omitempty"`
	// RetryDelay holds back messages that are tried again, in seconds. Default 0.
	RetryDelay *int `json:"retry_delay,omitempty"`
	// VisibilityTimeout is how long a pulled message is leased, in ms. Default
	// 30000.
	VisibilityTimeout *int `json:"visibility_timeout_ms,omitempty"`
}

func or(p *int, otherwise int) int {
	if p == nil {
		return otherwise
	}
	return *p
}

func (s ConsumerSettings) batchSize(otherwise int) int { return or(s.BatchSize, otherwise) }
func (s ConsumerSettings) maxWait() time.Duration {
	return time.Duration(or(s.MaxWaitTime, 5000)) * time.Millisecond
}
func (s ConsumerSettings) maxRetries() uint64  { return uint64(or(s.MaxRetries, 3)) }
func (s ConsumerSettings) maxConcurrency() int { return or(s.MaxConcurrency, MaxConcurrency) }
func (s ConsumerSettings) retryDelay() time.Duration {
	return time.Duration(or(s.RetryDelay, 0)) * time.Second
}
func (s ConsumerSettings) visibility() time.Duration {
	return time.Duration(or(s.VisibilityTimeout, 30_000)) * time.Millisecond
}

// check says what is wrong with a consumer.
func (c Consumer) check() error {
	switch {
	case c.Type != typeWorker && c.Type != typePull:
		return refuse(400, codeConsumer, "type is %q; it must be %q or %q", c.Type, typeWorker, typePull)
	case c.Type == typeWorker && c.Script == "":
		return refuse(400, codeConsumer, "script_name is empty; it must be the name of a Worker")
	}
	if c.DeadLetterQueue != "" {
		if err := checkName(c.DeadLetterQueue); err != nil {
			return refuse(400, codeConsumer, "dead_letter_queue: %v", err)
		}
	}
	for _, f := range []struct {
		name      string
		value     *int
		low, high int
	}{
		{"batch_size", c.Settings.BatchSize, 1, MaxBatchMessages},
		{"max_wait_time_ms", c.Settings.MaxWaitTime, 0, int(MaxBatchWait / time.Millisecond)},
		{"max_retries", c.Settings.MaxRetries, 0, MaxRetries},
		{"max_concurrency", c.Settings.MaxConcurrency, 1, MaxConcurrency},
		{"retry_delay", c.Settings.RetryDelay, 0, int(MaxDelay / time.Second)},
		{"visibility_timeout_ms", c.Settings.VisibilityTimeout, 1, int(MaxVisibility / time.Millisecond)},
	} {
		if f.value != nil && (*f.value < f.low || *f.value > f.high) {
			return refuse(400, codeConsumer, "%s is %d; it must be %d to %d", f.name, *f.value, f.low, f.high)
		}
	}
	return nil
}

// Trigger makes of c what a Worker's own configuration says of the queue.
func (c Consumer) Trigger(queue string) (config.Binding, error) {
	c.Type = typePull // a Worker is named by who has the trigger
	if err := c.check(); err != nil {
		return config.Binding{}, err
	}
	if err := checkName(queue); err != nil {
		return config.Binding{}, err
	}
	return config.NewBinding(queue, (*Kind)(nil).Type(), map[string]any{"dead_letter_queue": c.DeadLetterQueue, "settings": c.Settings})
}

// SetConsumer makes c the queue's consumer. With an empty ID it is a new one,
// for which there must be room; otherwise it replaces the one of that ID. The
// dead letter queue is made if it does not exist.
func (q *Queue) SetConsumer(c Consumer) (Consumer, error) {
	if err := c.check(); err != nil {
		return Consumer{}, err
	}
	if c.DeadLetterQueue != "" {
		if c.DeadLetterQueue == q.Name() {
			return Consumer{}, refuse(400, codeConsumer, "dead_letter_queue is the queue itself; name another one")
		}
		if _, err := q.store.Ensure(c.DeadLetterQueue); err != nil {
			return Consumer{}, err
		}
	}
	err := q.change(func(r *row) error {
		switch {
		case c.ID == "" && r.Consumer != nil:
			return ErrConsumerExists
		case c.ID == "":
			var random [16]byte
			rand.Read(random[:])
			c.ID, c.Created = hex.EncodeToString(random[:]), q.store.now().UTC()
		case r.Consumer == nil || r.Consumer.ID != c.ID:
			return ErrConsumerNotFound
		default:
			c.Created = r.Consumer.Created
		}
		r.Consumer = &c
		return nil
	})
	return c, err
}

// RemoveConsumer removes the consumer with an ID.
func (q *Queue) RemoveConsumer(id string) error {
	return q.change(func(r *row) error {
		if r.Consumer == nil || r.Consumer.ID != id {
			return ErrConsumerNotFound
		}
		r.Consumer = nil
		return nil
	})
}

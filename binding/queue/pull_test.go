package queue

import (
	"strings"
	"testing"
	"time"
)

// pullQueue is a queue with an http_pull consumer.
func (f *fixture) pullQueue(name string, c Consumer) *Queue {
	f.Helper()
	q := f.queue(name)
	c.Type = typePull
	_, err := q.SetConsumer(c)
	f.ok(err)
	return q
}

func (f *fixture) pull(q *Queue, want string) []Pulled {
	f.Helper()
	list, err := q.Pull(0, 0)
	f.ok(err)
	var texts []string
	for _, m := range list {
		texts = append(texts, string(m.Body))
	}
	if got := strings.Join(texts, " "); got != want {
		f.Errorf("pulled %q, want %q", got, want)
	}
	return list
}

func (f *fixture) settled(q *Queue, acks []string, retries []Retry, acked, retried, warnings int) {
	f.Helper()
	s, err := q.Settle(acks, retries)
	if f.ok(err); s.Acked != acked || s.Retried != retried || len(s.Warnings) != warnings {
		f.Errorf("settled %+v, want %d acknowledged, %d retried, %d warnings", s, acked, retried, warnings)
	}
}

func number(n int) *int { return &n }

func TestPull(t *testing.T) {
	f := newFixture(t)
	q := f.pullQueue("jobs", Consumer{Settings: ConsumerSettings{BatchSize: number(2), VisibilityTimeout: number(1000)}})
	f.send(q, "a", "b", strings.Repeat("c", InlineBytes+1))
	first := f.pull(q, "a b")
	if m := first[0]; m.Attempts != 1 || m.ContentType != Text || m.Sent.UnixMilli() != f.clock.Load() || len(m.ID) != 32 {
		t.Errorf("pulled %+v", m)
	}
	f.settled(q, []string{first[0].Lease}, nil, 1, 0, 0)
	f.settled(q, []string{first[0].Lease, "!", strings.Repeat("A", 32)}, nil, 0, 0, 3)
	f.pull(q, strings.Repeat("c", InlineBytes+1))
	f.pull(q, "")
	f.holds(q, 2, InlineBytes+2)

	f.reopen() // leases last
	q = f.queue("jobs")
	f.pull(q, "")
	f.pass(time.Second)
	second := f.pull(q, "b "+strings.Repeat("c", InlineBytes+1))
	if second[0].Attempts != 2 || second[0].ID != first[1].ID {
		t.Errorf("pulled again: %+v", second[0])
	}
	f.settled(q, []string{first[1].Lease}, nil, 1, 0, 0) // a lease that ran out is good
	f.settled(q, nil, []Retry{{second[1].Lease, 3 * time.Second}}, 0, 1, 0)
	f.pass(2 * time.Second)
	f.pull(q, "")
	f.pass(time.Second)
	last := f.pull(q, strings.Repeat("c", InlineBytes+1))
	f.settled(q, []string{last[0].Lease}, nil, 1, 0, 0)
	f.holds(q, 0, 0)
}

// A lease is good for its own queue only.
func TestLeaseOfAnotherQueue(t *testing.T) {
	f := newFixture(t)
	a, b := f.pullQueue("a", Consumer{}), f.pullQueue("b", Consumer{})
	f.send(a, "1")
	f.send(b, "1")
	lease := f.pull(a, "1")[0].Lease
	f.pull(b, "1")
	f.settled(b, []string{lease}, []Retry{{Lease: lease}}, 0, 0, 1)
	f.settled(a, []string{lease, lease}, nil, 1, 0, 1)
}

func TestPullBuriesWhatWasTriedTooOften(t *testing.T) {
	f := newFixture(t)
	q := f.pullQueue("jobs", Consumer{DeadLetterQueue: "dead", Settings: ConsumerSettings{MaxRetries: number(1), RetryDelay: number(5)}})
	f.send(q, "a", strings.Repeat("b", InlineBytes+1))
	first := f.pull(q, "a "+strings.Repeat("b", InlineBytes+1))
	f.settled(q, nil, []Retry{{Lease: first[0].Lease}, {first[1].Lease, NoDelay}}, 0, 2, 0)
	f.pull(q, strings.Repeat("b", InlineBytes+1))
	f.pass(30 * time.Second) // its lease
	f.pull(q, "a")
	f.holds(q, 1, 1)
	dead := f.queue("dead")
	f.holds(dead, 1, InlineBytes+1)
	list := f.ready(dead, strings.Repeat("b", InlineBytes+1))
	if list[0].attempts != 0 || list[0].name() != first[1].ID || list[0].aside != 30_000 {
		t.Errorf("buried is %+v", list[0].record)
	}
}

func TestPullRefusals(t *testing.T) {
	f := newFixture(t)
	q := f.queue("jobs")
	f.pullQueue("p", Consumer{})
	for want, call := range map[string]func() error{
		"no http_pull consumer":                                   func() error { _, err := q.Pull(1, 0); return err },
		"batch_size is 101; it must be 1 to 100":                  func() error { _, err := f.queue("p").Pull(101, 0); return err },
		"batch_size is -1; it must be 1 to 100":                   func() error { _, err := f.queue("p").Pull(-1, 0); return err },
		"visibility_timeout_ms is 43200001; it must be":           func() error { _, err := f.queue("p").Pull(1, MaxVisibility+time.Millisecond); return err },
		"retry delay 86401 is invalid; it must be a whole number": func() error { _, err := f.queue("p").Settle(nil, []Retry{{"x", MaxDelay + time.Second}}); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestPausedQueueIsNotPulled(t *testing.T) {
	f := newFixture(t)
	q := f.pullQueue("jobs", Consumer{})
	f.send(q, "a")
	f.ok(q.Update("jobs", Settings{DeliveryPaused: true, Retention: 60}))
	f.pull(q, "")
	f.ok(q.Update("jobs", Settings{Retention: 60}))
	f.pull(q, "a")
}

func TestConsumers(t *testing.T) {
	f := newFixture(t)
	q := f.queue("jobs")
	for want, c := range map[string]Consumer{
		`type is ""`:                                  {},
		"script_name is empty":                        {Type: typeWorker},
		"batch_size is 0; it must be 1 to 100":        {Type: typePull, Settings: ConsumerSettings{BatchSize: number(0)}},
		"max_wait_time_ms is 60001":                   {Type: typePull, Settings: ConsumerSettings{MaxWaitTime: number(60_001)}},
		"max_retries is 101; it must be 0 to 100":     {Type: typePull, Settings: ConsumerSettings{MaxRetries: number(101)}},
		"max_concurrency is 251; it must be 1 to 250": {Type: typePull, Settings: ConsumerSettings{MaxConcurrency: number(251)}},
		"retry_delay is 86401":                        {Type: typePull, Settings: ConsumerSettings{RetryDelay: number(86_401)}},
		"dead_letter_queue is the queue itself":       {Type: typePull, DeadLetterQueue: "jobs"},
		`dead_letter_queue: the queue's name "a b"`:   {Type: typePull, DeadLetterQueue: "a b"},
		"consumer not found":                          {Type: typePull, ID: "x"},
	} {
		if _, err := q.SetConsumer(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	made, err := q.SetConsumer(Consumer{Type: typeWorker, Script: "w"})
	f.ok(err)
	if _, err := q.SetConsumer(Consumer{Type: typePull}); err != ErrConsumerExists {
		t.Errorf("a second one: %v", err)
	}
	made.Script = "v"
	_, err = q.SetConsumer(made)
	f.ok(err)
	f.reopen()
	q = f.queue("jobs")
	if c := q.Info().Consumer; c == nil || c.Script != "v" || c.ID != made.ID {
		t.Errorf("after a restart: %+v", c)
	}
	if err := q.RemoveConsumer("x"); err != ErrConsumerNotFound {
		t.Errorf("another is removed: %v", err)
	}
	f.ok(q.RemoveConsumer(made.ID))
}

package queue

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// Pulled is a message that a client of the REST API has for a while.
type Pulled struct {
	ID          string
	Sent        time.Time
	Attempts    int
	ContentType ContentType
	Body        []byte
	// Lease is what acknowledges the message.
	Lease string
}

// Pull leases up to n messages that are ready, durably: unless they are
// acknowledged before, they are ready again after the time of visibility, also
// after a crash. Without one that is ready it returns none. Zero n and
// visibility are the consumer's. Messages that were tried too often are buried.
func (q *Queue) Pull(n int, visibility time.Duration) ([]Pulled, error) {
	info := q.Info()
	c := info.Consumer
	if c == nil || c.Type != typePull {
		return nil, refuse(400, codeConsumer, "queue %q has no http_pull consumer; add one with `wrangler queues consumer http add %[1]s`", info.Name)
	}
	if n == 0 {
		n = c.Settings.batchSize(5)
	}
	if visibility == 0 {
		visibility = c.Settings.visibility()
	}
	if n < 1 || n > MaxBatchMessages {
		return nil, refuse(400, codeBody, "batch_size is %d; it must be 1 to %d", n, MaxBatchMessages)
	}
	if visibility < time.Millisecond || visibility > MaxVisibility {
		return nil, refuse(400, codeBody, "visibility_timeout_ms is %d; it must be 1 to %d", visibility.Milliseconds(), MaxVisibility.Milliseconds())
	}
	if info.Settings.DeliveryPaused {
		return nil, nil
	}
	for {
		list, _, err := q.take(n)
		if err != nil || len(list) == 0 {
			return nil, err
		}
		alive, dead := c.sort(list)
		if len(dead) > 0 {
			if err := q.finish(c, dead); err != nil {
				q.release(list)
				return nil, err
			}
		}
		if len(alive) == 0 {
			continue
		}
		pulled, err := q.lease(alive, visibility)
		if err != nil {
			q.release(alive)
		}
		return pulled, err
	}
}

// sort parts messages that may be tried once more from those that may not.
func (c *Consumer) sort(list []*taken) (alive, dead []*taken) {
	for _, m := range list {
		if m.attempts > c.Settings.maxRetries() {
			dead = append(dead, m)
		} else {
			alive = append(alive, m)
		}
	}
	return alive, dead
}

// finish buries messages that were tried too often, or deletes them.
func (q *Queue) finish(c *Consumer, list []*taken) error {
	if c.DeadLetterQueue == "" {
		return q.drop(list)
	}
	to, err := q.store.Ensure(c.DeadLetterQueue)
	if err != nil {
		return err
	}
	return q.bury(list, to)
}

func (q *Queue) lease(list []*taken, visibility time.Duration) ([]Pulled, error) {
	for _, m := range list {
		if err := q.load(m); err != nil && !errors.Is(err, errGone) {
			return nil, err
		}
	}
	var pulled []Pulled
	err := q.update(func(t *tx) error {
		for _, m := range list {
			t.freed = append(t.freed, m.seq)
			if !m.current(t) || m.body == nil {
				continue
			}
			r := m.record
			r.attempts++
			r.leased = true
			t.move(m.place, t.now+visibility.Milliseconds(), &r)
			pulled = append(pulled, Pulled{
				ID: r.name(), Sent: time.UnixMilli(r.sent), Attempts: int(r.attempts),
				ContentType: contentTypes[r.kind], Body: m.body, Lease: lease{m.seq, r.id}.String(),
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return pulled, nil
}

// lease names a message to whoever has pulled it.
type lease struct {
	seq uint64
	id  [16]byte
}

func (l lease) String() string {
	b := binary.BigEndian.AppendUint64(nil, l.seq)
	return base64.RawURLEncoding.EncodeToString(append(b, l.id[:]...))
}

func parseLease(s string) (l lease, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 24 || len(s) != 32 { // line breaks would be skipped
		return l, false
	}
	l.seq = binary.BigEndian.Uint64(b)
	copy(l.id[:], b[8:])
	return l, true
}

// Retry has a pulled message delivered again.
type Retry struct {
	Lease string
	// Delay until then. Zero: the consumer's retry_delay.
	Delay time.Duration
}

// Settled is what Settle did.
type Settled struct {
	Acked, Retried int
	// Warnings say why a lease was of no use, by lease.
	Warnings map[string]string
}

// Settle acknowledges pulled messages and has others delivered again, durably.
// A lease that has run out is good as long as the message is there; with any
// other lease nothing is done, and a warning says why.
func (q *Queue) Settle(acks []string, retries []Retry) (Settled, error) {
	done := Settled{Warnings: map[string]string{}}
	delay := time.Duration(0)
	if c := q.Info().Consumer; c != nil {
		delay = c.Settings.retryDelay()
	}
	for _, r := range retries {
		if r.Delay != NoDelay && (r.Delay < 0 || r.Delay > MaxDelay) {
			return done, refuseDelay(codeMetadata, "retry", r.Delay.Seconds())
		}
	}
	err := q.update(func(t *tx) error {
		settle := func(text string, f func(place, *record)) error {
			l, ok := parseLease(text)
			if !ok {
				done.Warnings[text] = "lease ID is malformed"
				return nil
			}
			p, r, err := t.find(l)
			if err == nil && r == nil {
				done.Warnings[text] = "lease ID is not of a message in this queue; it may have been acknowledged already"
			}
			if err == nil && r != nil {
				f(p, r)
			}
			return err
		}
		for _, text := range acks {
			if err := settle(text, func(p place, r *record) { t.remove(p, r); done.Acked++ }); err != nil {
				done.Warnings[text] = err.Error() // what others wrote in this commit stays
			}
		}
		for _, x := range retries {
			d := x.Delay
			if d == 0 {
				d = delay
			}
			if err := settle(x.Lease, func(p place, r *record) { t.move(p, t.now+max(d, 0).Milliseconds(), r); done.Retried++ }); err != nil {
				done.Warnings[x.Lease] = err.Error()
			}
		}
		return nil
	})
	return done, err
}

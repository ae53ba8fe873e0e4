package queue

import (
	"errors"
	"time"
)

// settlement is what becomes of the messages of a batch.
type settlement struct {
	acked, retried []*taken
	delays         []time.Duration // of retried
	dead           []*taken        // tried too often
}

// sortOut decides about each message, as Cloudflare does: what was acknowledged
// stays so even if the handler failed later; then what the message, then what
// the batch was told counts; then the outcome.
//
// Source: https://developers.cloudflare.com/queues/configuration/batching-retries/
func sortOut(list []*taken, outcome string, a answer, c *Consumer) (s settlement) {
	acks := map[string]bool{}
	for _, id := range a.ExplicitAcks {
		acks[id] = true
	}
	own := map[string]*int{}
	for _, r := range a.Retries {
		own[r.ID] = r.Delay
	}
	for _, m := range list {
		delay, retry := own[m.name()]
		switch {
		case acks[m.name()]:
			s.acked = append(s.acked, m)
			continue
		case retry:
		case a.AckAll, outcome == "ok" && !a.RetryBatch.Retry:
			s.acked = append(s.acked, m)
			continue
		}
		if m.attempts >= c.Settings.maxRetries() {
			s.dead = append(s.dead, m)
			continue
		}
		if delay == nil {
			delay = a.RetryBatch.Delay
		}
		d := c.Settings.retryDelay()
		if delay != nil {
			d = min(max(time.Duration(*delay)*time.Second, 0), MaxDelay)
		}
		s.retried, s.delays = append(s.retried, m), append(s.delays, d)
	}
	return s
}

// settle does what was decided, durably. While it cannot be written it is tried
// again, so that a message that was acknowledged is not delivered again without
// need. When the platform stops, what is left is as it was.
func (p *pusher) settle(queue string, c *Consumer, s settlement) {
	pause := firstPause
	for {
		err := p.q.settle(&s)
		if err == nil && len(s.dead) > 0 {
			if err = p.q.finish(c, s.dead); err == nil {
				p.log.Warn("messages were tried too often", "queue", queue, "worker", c.Script, "messages", len(s.dead), "moved to", c.DeadLetterQueue)
				s.dead = nil
			}
		}
		if err == nil || errors.Is(err, ErrNotFound) {
			return
		}
		p.log.Error("what became of a queue's messages cannot be stored; it is tried again", "queue", queue, "err", err)
		select {
		case <-p.work.Done():
			p.q.release(append(append(s.acked, s.retried...), s.dead...))
			return
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		}
	}
}

// settle deletes what was acknowledged, and makes what is retried ready again
// with one attempt more. Both are empty afterwards.
func (q *Queue) settle(s *settlement) error {
	if len(s.acked)+len(s.retried) == 0 {
		return nil
	}
	err := q.update(func(t *tx) error {
		t.changed = true
		for _, m := range s.acked {
			t.freed = append(t.freed, m.seq)
			if m.current(t) {
				t.remove(m.place, &m.record)
			}
		}
		for i, m := range s.retried {
			t.freed = append(t.freed, m.seq)
			if m.current(t) {
				r := m.record
				r.attempts++
				t.move(m.place, t.now+s.delays[i].Milliseconds(), &r)
			}
		}
		return nil
	})
	if err == nil {
		s.acked, s.retried, s.delays = nil, nil, nil
	}
	return err
}

package queue

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/binding"
)

// pauses of a consumer whose Worker cannot be reached, or whose queue cannot be
// read or written.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// pusher delivers a queue's messages to a Worker. It has a goroutine that
// sleeps until a message is sent, is ready or has been dealt with.
type pusher struct {
	q      *Queue
	events binding.Events
	log    *slog.Logger
	// work is the context of the batches; it outlives the pusher's.
	work    context.Context
	batches *sync.WaitGroup
	kicked  chan struct{}
	done    chan result
	// stop ends the pusher and waits for it, but not for its batches.
	stop func()

	// What follows belongs to the goroutine.

	forming []*taken
	since   time.Time // when the first of forming was taken
	running int       // batches in the Worker's hands
	limit   int       // how many of them may be
	idle    time.Time // nothing is delivered before
	pause   time.Duration
}

// result is how a batch ended.
type result int

const (
	succeeded result = iota
	failed
	unreached // the Worker did not get it
)

// start begins to deliver, until stop is called or ctx ends.
func (p *pusher) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	p.kicked, p.done, p.limit = make(chan struct{}, 1), make(chan result, MaxConcurrency), 1
	p.q.mu.Lock()
	p.q.woken = p.kick
	p.q.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.run(ctx)
	}()
	p.stop = func() {
		cancel()
		<-ended
		p.q.mu.Lock()
		p.q.woken = nil
		p.q.mu.Unlock()
	}
}

// kick has the pusher look at the queue.
func (p *pusher) kick() {
	select {
	case p.kicked <- struct{}{}:
	default:
	}
}

func (p *pusher) run(ctx context.Context) {
	defer func() { p.q.release(p.forming) }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if until := p.step(); until.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(until.Sub(p.q.store.now()))
		}
		select {
		case <-ctx.Done():
		case <-p.kicked:
		case <-timer.C:
		case r := <-p.done:
			p.ended(r)
		}
	}
}

// step delivers what is to be delivered and says when there will be more to do
// without anybody telling; zero: never.
func (p *pusher) step() (until time.Time) {
	for {
		info := p.q.Info()
		c := info.Consumer
		if c == nil || c.Type != typeWorker || info.Settings.DeliveryPaused {
			p.q.unhold(&p.forming)
			return time.Time{}
		}
		now := p.q.store.now()
		if now.Before(p.idle) {
			return p.idle
		}
		size := c.Settings.batchSize(10)
		var later int64
		if room := size - len(p.forming); room > 0 {
			list, ready, err := p.q.take(room)
			if err != nil {
				if err != ErrNotFound {
					p.log.Error("a queue cannot be read", "queue", info.Name, "err", err)
				}
				return p.rest()
			}
			if len(p.forming) == 0 {
				p.since = now
			}
			p.forming, later = append(p.forming, list...), ready
		}
		due := p.since.Add(c.Settings.maxWait())
		free := p.running < min(p.limit, c.Settings.maxConcurrency())
		full := len(p.forming) >= size
		if free && len(p.forming) > 0 && (full || !now.Before(due)) {
			p.deliver(info.Name, c, p.forming)
			p.forming = nil
			continue
		}
		if free && len(p.forming) > 0 {
			until = due
		}
		if !full && later > 0 && (until.IsZero() || later < until.UnixMilli()) {
			until = time.UnixMilli(later)
		}
		return until
	}
}

// unhold releases messages without anybody being told.
func (q *Queue) unhold(list *[]*taken) {
	if len(*list) > 0 {
		q.release(*list)
		*list = nil
	}
}

// rest pauses the delivery, for longer each time.
func (p *pusher) rest() time.Time {
	p.pause = min(max(2*p.pause, firstPause), lastPause)
	p.idle = p.q.store.now().Add(p.pause)
	return p.idle
}

// ended notes how a batch ended, and how many there may be at once from now.
func (p *pusher) ended(r result) {
	p.running--
	switch r {
	case succeeded:
		p.pause = 0
		if len(p.forming) > 0 {
			p.limit = min(p.limit+1, MaxConcurrency)
		} else if p.running == 0 {
			p.limit = 1
		}
	case failed:
		p.pause = 0
		p.limit = max(p.limit/2, 1)
	case unreached:
		p.limit = 1
		if !p.q.store.now().Before(p.idle) { // not for each of many at once
			p.rest()
		}
	}
}

// deliver gives a batch to the Worker on a goroutine of its own.
func (p *pusher) deliver(queue string, c *Consumer, list []*taken) {
	p.running++
	p.batches.Go(func() { p.done <- p.send(queue, c, list) })
}

// send gives a batch to the Worker and does as it says.
func (p *pusher) send(queue string, c *Consumer, list []*taken) result {
	b := &Batch{Queue: queue, Metrics: p.q.Metrics()}
	there := list[:0]
	for _, m := range list {
		if err := p.q.load(m); err != nil {
			if !errors.Is(err, errGone) {
				p.log.Error("a message cannot be read", "queue", queue, "err", err)
			}
			continue // it stays held, out of the way until the next start
		}
		there = append(there, m)
		b.Messages = append(b.Messages, &Received{
			ID: m.name(), Sent: time.UnixMilli(m.sent), Attempts: int(m.attempts) + 1,
			ContentType: contentTypes[m.kind], Body: m.body,
		})
	}
	if len(there) == 0 {
		return succeeded
	}
	out, err := p.events.Send(p.work, c.Script, b.event())
	if err != nil {
		if p.work.Err() != nil {
			p.q.release(there)
			return unreached
		}
		if errors.Is(err, binding.ErrNotBegun) {
			p.log.Warn("a queue's consumer cannot be reached; it is tried again", "queue", queue, "worker", c.Script, "err", err)
			p.q.release(there)
			return unreached
		}
		p.log.Warn("a queue's consumer failed", "queue", queue, "worker", c.Script, "err", err)
		out = binding.Outcome{Outcome: "unknown"}
	} else if out.Outcome != "ok" {
		p.log.Warn("a queue's consumer failed in the Worker", "queue", queue, "worker", c.Script, "outcome", out.Outcome)
	}
	var a answer
	if len(out.Result) > 0 {
		if err := json.Unmarshal(out.Result, &a); err != nil {
			p.log.Error("a queue's consumer gave no answer", "queue", queue, "worker", c.Script, "err", err)
			out.Outcome = "unknown"
		}
	}
	p.settle(queue, c, sortOut(there, out.Outcome, a, c))
	if out.Outcome != "ok" {
		return failed
	}
	return succeeded
}

package program

import (
	"context"
	"encoding/json"

	"github.com/selvage-edge/selvage/telemetry"
)

// maxTailQueue bounds the events that wait for a Worker's Tail; more are lost.
const maxTailQueue = 4096

// maxTailBatch is how many events one call of Tail gets at most.
const maxTailBatch = 100

// tailQueue brings invocations to a Tailer, off the way of the requests.
type tailQueue struct {
	p      *Worker
	t      Tailer
	of     map[string]bool
	all    bool // "*": every Worker but itself
	events chan telemetry.Invocation
	end    chan struct{}
	done   chan struct{}
}

func newTailQueue(p *Worker, t Tailer) *tailQueue {
	q := &tailQueue{
		p: p, t: t, of: map[string]bool{}, events: make(chan telemetry.Invocation, maxTailQueue),
		end: make(chan struct{}), done: make(chan struct{}),
	}
	for _, name := range t.TailOf() {
		q.of[name] = true
		q.all = q.all || name == "*"
	}
	go q.loop()
	return q
}

// tailEvent is the event of an invocation of Tail.
const tailEvent = `{"consumedEvents":[]}`

func (q *tailQueue) loop() {
	defer close(q.done)
	for {
		var batch []telemetry.Invocation
		select {
		case i := <-q.events:
			batch = append(batch, i)
		case <-q.end:
			select {
			case i := <-q.events:
				batch = append(batch, i)
			default:
				return
			}
		}
		for len(batch) < maxTailBatch && len(q.events) > 0 {
			batch = append(batch, <-q.events)
		}
		q.deliver(batch)
	}
}

func (q *tailQueue) deliver(batch []telemetry.Invocation) {
	v, err := q.p.o.Deployed(q.p.name)
	if err != nil {
		return // it is not deployed, or no more
	}
	run, err := q.p.begin(context.Background(), v, nil)
	if err != nil {
		return
	}
	if err := protect(func() error { return q.t.Tail(run.ctx, batch) }); err != nil {
		run.threw(err)
	}
	run.answered(json.RawMessage(tailEvent), nil)
}

// close delivers what waits and ends the queue.
func (q *tailQueue) close() {
	close(q.end)
	<-q.done
}

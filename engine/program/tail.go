package program

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/telemetry"
)

// maxTailQueue bounds the events that wait for a Worker's Tail; more are lost.
const maxTailQueue = 4096

// maxTailBatch is how many events one call of Tail gets at most.
const maxTailBatch = 100

// tailQueue brings invocations to the Worker's Tail, off the way of the requests.
type tailQueue struct {
	p      *Worker
	of     map[string]bool
	all    bool // "*": every Worker but itself
	events chan telemetry.Invocation
	end    chan struct{}
	done   chan struct{}
}

func newTailQueue(p *Worker) *tailQueue {
	q := &tailQueue{
		p: p, of: map[string]bool{}, events: make(chan telemetry.Invocation, maxTailQueue),
		end: make(chan struct{}), done: make(chan struct{}),
	}
	for _, name := range p.tailOf {
		q.of[name] = true
		q.all = q.all || name == "*"
	}
	go q.loop()
	return q
}

// Tailer is the handler of a Worker in Go that is told what other Workers did.
// Events come in batches of up to 100, some time after they happened; when Tail
// is slow, events are lost. An error or a panic is an exception of the Worker.
type Tailer interface {
	Tail(ctx context.Context, events []telemetry.Invocation) error
}

// TailEvent makes the event that tells a Worker what others did.
func TailEvent(events []telemetry.Invocation) binding.Event {
	body, _ := json.Marshal(events) // of what was made from JSON
	return binding.Event{
		Type: "tail", Body: bytes.NewReader(body), Size: int64(len(body)), Info: json.RawMessage(tailEvent),
		Call: func(ctx context.Context, handler http.Handler) error {
			t, ok := handler.(Tailer)
			if !ok {
				return binding.ErrNoHandler
			}
			return t.Tail(ctx, events)
		},
	}
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
	// An outcome other than "ok" has been told already, by its own tail event.
	if _, err := q.p.Send(q.p.stopped, v, TailEvent(batch)); err != nil {
		q.p.o.Logger.Warn("tail events lost", "worker", q.p.name, "events", len(batch), "err", err)
	}
}

// close delivers what waits and ends the queue.
func (q *tailQueue) close() {
	close(q.end)
	<-q.done
}

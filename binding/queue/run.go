package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

// drain is how long batches may go on when the platform stops. What is not done
// then is cut off and delivered again after the next start.
const drain = 5 * time.Second

// Run implements binding.Runner: it delivers messages to the Workers that
// consume queues.
func (k *Kind) Run(ctx context.Context, events binding.Events, source config.Source) {
	k.source.Store(&source)
	defer source.Subscribe(func(*config.Snapshot) { k.store.tell() })()
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var batches sync.WaitGroup
	pushers := map[*Queue]*pusher{}
	for ctx.Err() == nil {
		k.declare(source.Current())
		wanted := map[*Queue]bool{}
		for _, q := range k.store.Queues() {
			if c := q.Info().Consumer; c != nil && c.Type == typeWorker {
				wanted[q] = true
			}
		}
		for q, p := range pushers {
			if !wanted[q] {
				p.stop()
				delete(pushers, q)
			}
		}
		for q := range wanted {
			if p := pushers[q]; p != nil {
				p.kick() // it may be configured anew
				continue
			}
			p := &pusher{q: q, events: events, log: k.store.log, work: work, batches: &batches}
			p.start(ctx)
			pushers[q] = p
		}
		select {
		case <-ctx.Done():
		case <-k.store.changed:
		}
	}
	for _, p := range pushers {
		p.stop()
	}
	late := time.AfterFunc(drain, cut)
	defer late.Stop()
	batches.Wait()
}

// declare notes the consumers that Workers of a snapshot name themselves, which
// count before what the REST API was told, and makes their queues.
func (k *Kind) declare(s *config.Snapshot) {
	declared := map[*Queue]*Consumer{}
	for _, worker := range slices.Sorted(maps.Keys(s.Workers)) {
		for _, t := range s.Workers[worker].Triggers {
			if t.Type != k.Type() {
				continue
			}
			c, err := triggered(worker, t)
			var q *Queue
			if err == nil {
				q, err = k.store.Ensure(t.Name)
			}
			if err == nil && c.DeadLetterQueue != "" {
				_, err = k.store.Ensure(c.DeadLetterQueue)
			}
			if err == nil && declared[q] != nil {
				err = fmt.Errorf("%w: Worker %q", ErrConsumerExists, declared[q].Script)
			}
			if err != nil {
				k.store.log.Error("a Worker cannot consume a queue", "worker", worker, "queue", t.Name, "err", err)
				continue
			}
			declared[q] = c
		}
	}
	for _, q := range k.store.Queues() {
		q.mu.Lock()
		q.declared = declared[q]
		q.mu.Unlock()
	}
}

// triggered reads the consumer that a Worker's trigger describes.
func triggered(worker string, t config.Binding) (*Consumer, error) {
	var s struct {
		Consumer
		Pull bool `json:"http_pull"`
	}
	if err := t.Decode(&s); err != nil {
		return nil, err
	}
	c := &s.Consumer
	c.ID, c.Type, c.Script = "declared", typeWorker, worker
	if s.Pull {
		c.Type, c.Script = typePull, ""
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.DeadLetterQueue == t.Name {
		return nil, fmt.Errorf("its dead letter queue is the queue itself; name another one")
	}
	return c, checkName(t.Name)
}

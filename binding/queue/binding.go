package queue

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// Kind is the binding "queue", a producer. Its settings are
//
//	{"queue_name": "<name>", "delivery_delay": <seconds, optional>}
//
// As a trigger of a Worker, whose name is the queue's, its settings are those of
// a [Consumer], and "http_pull": true where clients pull.
type Kind struct {
	store *Store
	// source has the Workers, for who produces. Nil before Run.
	source atomic.Pointer[config.Source]
}

// Kinds returns the kind, not open yet.
func Kinds() []binding.Kind { return []binding.Kind{&Kind{}} }

// Type implements binding.Kind.
func (k *Kind) Type() string { return "queue" }

// settings reads those of a producer. A delay of -1 is none.
func settings(b config.Binding) (name string, delay time.Duration, err error) {
	var s struct {
		Name  string   `json:"queue_name"`
		Delay *float64 `json:"delivery_delay"`
	}
	if err := b.Decode(&s); err != nil {
		return "", 0, err
	}
	if err := checkName(s.Name); err != nil {
		return "", 0, fmt.Errorf("binding %s (queue): queue_name: %w", b.Name, err)
	}
	if s.Delay == nil {
		return s.Name, -1, nil
	}
	if d := *s.Delay; d != float64(int(d)) || d < 0 || d > MaxDelay.Seconds() {
		return "", 0, fmt.Errorf("binding %s (queue): delivery_delay is %v; it must be a whole number of seconds from 0 to %.0f", b.Name, d, MaxDelay.Seconds())
	}
	return s.Name, time.Duration(*s.Delay) * time.Second, nil
}

// Validate implements binding.Kind.
func (k *Kind) Validate(b config.Binding) error {
	_, _, err := settings(b)
	return err
}

// Mount implements binding.Kind.
func (k *Kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	p, err := k.producer(b)
	if err != nil {
		return binding.Mount{}, err
	}
	return binding.Mount{Value: workerd.QueueValue(at.Service), Handler: p.Handler()}, nil
}

// producer makes the producer of a binding.
func (k *Kind) producer(b config.Binding) (*Producer, error) {
	name, delay, err := settings(b)
	if err != nil {
		return nil, err
	}
	q, err := k.store.Named(name)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("binding %s (queue): there is no queue named %q; create it with `wrangler queues create %[2]s`", b.Name, name)
	}
	if err != nil {
		return nil, fmt.Errorf("binding %s (queue): %w", b.Name, err)
	}
	return q.Producer(delay), nil
}

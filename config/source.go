package config

import (
	"sync"
	"sync/atomic"
)

// Source gives the current snapshot and tells of new ones.
type Source interface {
	// Current returns the latest snapshot, never nil.
	Current() *Snapshot
	// Subscribe calls f with each new snapshot, one at a time and in order,
	// until stop is called. f is not called with the current one.
	Subscribe(f func(*Snapshot)) (stop func())
}

// Value is a Source that holds whatever it was last Set to. The zero Value
// holds an empty snapshot. It is safe for concurrent use.
type Value struct {
	current atomic.Pointer[Snapshot]

	mu   sync.Mutex // serialises Set and guards subs
	subs map[int]func(*Snapshot)
	next int
}

var empty = &Snapshot{}

// Current implements Source.
func (v *Value) Current() *Snapshot {
	if s := v.current.Load(); s != nil {
		return s
	}
	return empty
}

// Set makes s the current snapshot and returns after every subscriber has
// seen it. The caller must not change s afterwards.
func (v *Value) Set(s *Snapshot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current.Store(s)
	for _, f := range v.subs {
		f(s)
	}
}

// Subscribe implements Source. f must not call Set or Subscribe.
func (v *Value) Subscribe(f func(*Snapshot)) (stop func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.subs == nil {
		v.subs = map[int]func(*Snapshot){}
	}
	id := v.next
	v.next++
	v.subs[id] = f
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.subs, id)
	}
}

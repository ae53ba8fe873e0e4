package control

import (
	"slices"
	"sync"
)

// locks is a mutex per name. The zero value is ready.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	sync.Mutex
	users int
}

// lockAll locks several names, always in the same order.
func (l *locks) lockAll(names []string) (unlock func()) {
	slices.Sort(names)
	var unlocks []func()
	for _, name := range slices.Compact(names) {
		unlocks = append(unlocks, l.lock(name))
	}
	return func() {
		for _, unlock := range unlocks {
			unlock()
		}
	}
}

// lock locks name and returns how to unlock it.
func (l *locks) lock(name string) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	k := l.held[name]
	if k == nil {
		k = &lock{}
		l.held[name] = k
	}
	k.users++
	l.mu.Unlock()
	k.Lock()
	return func() {
		k.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.held, name)
		}
	}
}

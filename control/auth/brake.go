package auth

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// wrongTokens may come from one address in a burst, and one more every
	// wrongTokenEvery after that.
	wrongTokens     = 10
	wrongTokenEvery = 6 * time.Second
	// brakeAddresses bounds the memory of a brake.
	brakeAddresses = 10_000
)

// brake counts wrong tokens per address: an IPv4 address or an IPv6 /64. The
// zero value is ready.
type brake struct {
	mu sync.Mutex
	// clear says when all wrong tokens of an address will have been forgotten.
	clear map[netip.Prefix]time.Time
}

func place(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Prefix stands for an unknown address
	return p
}

// free reports whether a token from an address may be looked up.
func (b *brake) free(from netip.Addr, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.clear[place(from)].Sub(now) <= (wrongTokens-1)*wrongTokenEvery
}

// press notes a wrong token and reports whether it is the one that makes the
// address wait.
func (b *brake) press(from netip.Addr, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clear == nil {
		b.clear = map[netip.Prefix]time.Time{}
	}
	if len(b.clear) >= brakeAddresses {
		for p, at := range b.clear {
			if at.Before(now) {
				delete(b.clear, p)
			}
		}
		if len(b.clear) >= brakeAddresses {
			clear(b.clear) // under attack from everywhere: forgetting is better than running out of memory
		}
	}
	p := place(from)
	at := b.clear[p]
	if at.Before(now) {
		at = now
	}
	at = at.Add(wrongTokenEvery)
	b.clear[p] = at
	return at.Sub(now) > (wrongTokens-1)*wrongTokenEvery
}

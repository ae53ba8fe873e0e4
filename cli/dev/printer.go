package dev

import (
	"io"
	"sync"
)

// maxUnprinted is how much may wait to be printed before requests wait for it.
const maxUnprinted = 1 << 20

// printer writes behind its callers' backs, in their order, so that requests do
// not wait for a terminal. What comes while it writes is written together. It is
// safe for concurrent use. Errors of out are nobody's to handle.
type printer struct {
	out io.Writer

	mu      sync.Mutex
	changed sync.Cond
	waiting []byte
	writing bool
}

func newPrinter(out io.Writer) *printer {
	p := &printer{out: out}
	p.changed.L = &p.mu
	return p
}

// Write implements io.Writer. It waits only when too much is waiting already.
func (p *printer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) > maxUnprinted {
		p.changed.Wait()
	}
	p.waiting = append(p.waiting, b...)
	if !p.writing {
		p.writing = true
		go p.write()
	}
	return len(b), nil
}

func (p *printer) write() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var spare []byte
	for len(p.waiting) > 0 {
		b := p.waiting
		p.waiting = spare[:0]
		p.changed.Broadcast()
		p.mu.Unlock()
		p.out.Write(b)
		p.mu.Lock()
		spare = b
	}
	p.writing = false
	p.changed.Broadcast()
}

// flush returns when all is written.
func (p *printer) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.writing {
		p.changed.Wait()
	}
}

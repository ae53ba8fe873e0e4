package engine

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A cell gets its tail Worker when it starts. Cells without Durable Objects are
// replaced by ones with it when somebody begins to look. One with Durable
// Objects is not, because that would end them: it always has a tail Worker,
// which reports only while somebody looks.

// lookPatience bounds the wait for a cell's answer; one that is held up for
// longer is not looked at.
const lookPatience = 10 * time.Second

// observe counts those who want tail events.
func (w *worker) observe(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.looking()
	w.observers += n
	if w.looking() == before {
		return
	}
	for _, p := range w.running() {
		switch {
		case p.durable():
			p.look()
		case w.looking():
			w.generation.Add(1)
			p.refresh()
		}
	}
}

// looking: somebody wants tail events. Called with w.mu held.
func (w *worker) looking() bool { return w.e.o.Observe || w.observers > 0 }

// look tells the cells whether somebody looks.
func (p *pool) look() {
	p.w.e.loops.Go(func() {
		p.mu.Lock()
		cells := slices.Clone(p.cells)
		p.mu.Unlock()
		for _, c := range cells {
			c.look()
		}
	})
}

// look tells the cell's tail Worker whether somebody looks, if that has changed.
func (c *cell) look() {
	c.lookMu.Lock() // the last to tell it knows best
	defer c.lookMu.Unlock()
	w := c.pool.w
	w.mu.Lock()
	looking := w.looking()
	w.mu.Unlock()
	if c.looked.Load() == looking {
		return
	}
	if err := c.tellTail(looking); err != nil {
		w.e.o.Logger.Debug("a cell does not hear whether somebody looks", "worker", c.version.Worker, "err", err)
		return
	}
	c.looked.Store(looking)
}

func (c *cell) tellTail(looking bool) error {
	ctx, cancel := context.WithTimeout(c.pool.w.e.ctx, lookPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://events/look", strings.NewReader(fmt.Sprint(looking)))
	if err != nil {
		return err
	}
	res, err := c.events.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the tail Worker answered %s", res.Status)
	}
	return nil
}

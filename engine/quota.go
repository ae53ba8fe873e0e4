package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// measureEvery is how often the Durable Objects are measured. Their quota may be
// exceeded by what is written in between: workerd writes the files itself, and
// takes no bound from us.
const measureEvery = time.Minute

// stopFat stops the cells of Workers of whose Durable Objects one is larger than
// ObjectsQuota. They do not start again before it no longer is.
func (e *Engine) stopFat(cells []*cell) {
	for _, c := range cells {
		if !c.pool.durable() {
			continue
		}
		if err := e.overQuota(c.version.Worker); err != nil {
			e.o.Logger.Error("Worker stopped", "worker", c.version.Worker, "err", err)
			c.pool.stop(c)
		}
	}
}

// stop ends the pool's cell, which finishes what it has begun.
func (p *pool) stop(c *cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.withdrawLocked(c) {
		c.calm = true
		p.drain(c)
	}
}

// overQuota says that one of a Worker's Durable Objects is too large.
func (e *Engine) overQuota(worker string) error {
	quota := e.o.ObjectsQuota
	return filepath.WalkDir(e.objectsDir(worker), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // none yet, or deleted meanwhile
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".sqlite") {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() <= quota {
			return nil
		}
		return fmt.Errorf("a Durable Object of the Worker takes %d bytes and the quota is %d: raise quotas.durable_object, and let the Worker delete what it does not need (%s)",
			info.Size(), quota, filepath.Base(path))
	})
}

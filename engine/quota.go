package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// measureEvery is how often the Durable Objects are measured. Their quota may be
// exceeded by what is written in between: workerd writes the files itself, and
// takes no bound from us.
const measureEvery = time.Minute

// stopFat stops the cells of Workers whose Durable Objects are larger than
// ObjectsQuota or WorkerObjectsQuota. They do not start again before they no
// longer are.
func (e *Engine) stopFat(cells []*cell) {
	for _, c := range cells {
		if !c.home() {
			continue
		}
		if err := e.overQuota(c.version.Worker); err != nil {
			e.o.Logger.Error("Worker stopped", "worker", c.version.Worker, "err", err)
			c.pool.stop(c)
		}
	}
}

// stop ends the pool's cells, if c is one; they finish what they have begun.
func (p *pool) stop(c *cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.cells, c) {
		return
	}
	c.calm = true
	p.drain(p.cells...)
	p.cells = nil
}

// overQuota says that one of a Worker's Durable Objects is too large, or all of
// them together are.
func (e *Engine) overQuota(worker string) error {
	var sum int64
	err := filepath.WalkDir(e.objectsDir(worker), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // none yet, or deleted meanwhile
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".sqlite") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		sum += info.Size()
		if info.Size() > e.o.ObjectsQuota {
			return fmt.Errorf("a Durable Object of the Worker takes %d bytes and the quota is %d: raise quotas.durable_object, and let the Worker delete what it does not need (%s)",
				info.Size(), e.o.ObjectsQuota, filepath.Base(path))
		}
		return nil
	})
	if quota := e.o.WorkerObjectsQuota; err == nil && quota > 0 && sum > quota {
		err = fmt.Errorf("the Durable Objects of the Worker take %d bytes and the quota is %d: raise quotas.worker_durable_objects, and let the Worker delete what it does not need",
			sum, quota)
	}
	return err
}

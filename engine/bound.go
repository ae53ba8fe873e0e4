package engine

import (
	"context"
	"os/exec"
	"sync"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/cgroup"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// kernelRoom is how far beyond MaxMemory the kernel's own bound on a cell is.
//
// MaxMemory is resident memory, judged by the watchdog, so that a Worker is too
// large at the same size on every machine. The kernel's bound stands behind it
// for what grows faster than the watchdog looks. The two count differently: the
// kernel adds what it keeps for the process (page tables, buffers of sockets)
// and the file cache of Durable Objects. It takes cache back rather than kill,
// but would take the pages of the program as well, and a cell that reads its
// own code from the disk over and over is slow for ever and never too large.
// In this room the watchdog comes first.
const kernelRoom = 64 << 20

// launch starts a process of v: confined, and in a cgroup where there are any.
// objects is the folder of its Durable Objects. ended says what the kernel did
// to the process for want of memory; call it, at least once, when the process
// has ended.
func (e *Engine) launch(ctx context.Context, v *config.Version, objects string, o workerd.Options) (_ *workerd.Process, ended func() cgroup.Events, err error) {
	o.Prepare, ended = e.prepareProcess(v, o.Config, objects, o.InspectorAddr != "")
	proc, err := workerd.Start(ctx, o)
	return started(proc, ended, err)
}

// started is what launch returns of a start.
func started(proc *workerd.Process, ended func() cgroup.Events, err error) (*workerd.Process, func() cgroup.Events, error) {
	if err != nil {
		if exceeded(ended()) {
			err = &workerd.StartError{Message: memoryExceeded.Message}
		}
		return nil, nil, err
	}
	return proc, ended, nil
}

// prepareProcess says how a process is started confined, and in a cgroup where
// there are any; see launch.
func (e *Engine) prepareProcess(v *config.Version, c *workerd.Config, objects string, network bool) (prepare func(*exec.Cmd) error, ended func() cgroup.Events) {
	confine, group := e.confine(v, c, objects, network), e.group(v)
	ended = sync.OnceValue(func() cgroup.Events {
		if group == nil {
			return cgroup.Events{}
		}
		return group.End()
	})
	return func(cmd *exec.Cmd) error {
		if group != nil {
			group.Contain(cmd)
		}
		if confine != nil {
			return confine(cmd)
		}
		return nil
	}, ended
}

// group makes a cgroup for a process of v; nil when it is to do without.
func (e *Engine) group(v *config.Version) *cgroup.Group {
	if e.o.Cgroups == nil {
		return nil
	}
	g, err := e.o.Cgroups.New(e.o.MaxMemory + kernelRoom)
	if err != nil {
		// Serving comes first, and the watchdog is there.
		e.o.Logger.Warn("the kernel does not bound this cell's memory", "worker", v.Worker, "version", v.ID, "err", err)
		return nil
	}
	return g
}

// exceeded: the process was killed at its own limit.
func exceeded(e cgroup.Events) bool { return e.OOM > 0 && e.Killed > 0 }

// exceededMemory: V8 has given up, or the kernel has stepped in. Ask when the
// process has ended.
func (c *cell) exceededMemory() bool { return c.outOfMemory.Load() || exceeded(c.ended()) }

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// objectsDir is the folder of a Worker's Durable Objects. workerd makes a
// folder in it for each class, named by the class's key.
func (e *Engine) objectsDir(worker string) string {
	return filepath.Join(e.o.Dir, "do", url.PathEscape(worker))
}

// lockObjects waits until no process has the Worker's objects open and returns
// the lock. The cell inherits the descriptor, so the kernel holds the lock
// exactly as long as the process lives, whatever becomes of us; another
// Selvage on the same directory waits, too.
func (e *Engine) lockObjects(ctx context.Context, worker string) (*os.File, error) {
	dir := e.objectsDir(worker)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for Durable Objects: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock Durable Objects: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock Durable Objects: %w", err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock Durable Objects in %s: another process has them open: %w", dir, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// alarmSet reports whether one of the Worker's objects waits for an alarm.
// workerd raises alarms only while it runs, so such a Worker is kept running.
// When the answer cannot be had it is taken to be yes. The table is made with
// the first alarm of a class.
func (p *pool) alarmSet() bool {
	files, _ := filepath.Glob(filepath.Join(p.w.e.objectsDir(p.version.Worker), "*", "metadata.sqlite"))
	for _, f := range files {
		set, err := sqlite.Peek(f, "SELECT 1 FROM _cf_ALARM LIMIT 1")
		if err != nil {
			p.w.e.o.Logger.Debug("alarms are not readable", "worker", p.version.Worker, "file", f, "err", err)
		}
		if set || err != nil {
			return true
		}
	}
	return false
}

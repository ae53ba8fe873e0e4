package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/disk"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// objectsDir is the folder of a Worker's Durable Objects. workerd makes a
// folder in it for each class, named by the class's key.
func (e *Engine) objectsDir(worker string) string {
	return filepath.Join(e.o.Dir, "do", url.PathEscape(worker))
}

// lockObjects waits until no process has the Worker's objects open, brings the
// folders of its classes here and returns the locks. The cell inherits the
// descriptors, so the kernel holds the locks exactly as long as the process
// lives, whatever becomes of us; another Selvage on the same directory waits, too.
func (e *Engine) lockObjects(ctx context.Context, v *config.Version) (_ []*os.File, err error) {
	dir := e.objectsDir(v.Worker)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for Durable Objects: %w", err)
	}
	var locks []*os.File
	defer func() {
		if err != nil {
			closeAll(locks)
		}
	}()
	f, err := lockFile(ctx, filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	locks = append(locks, f)
	for _, c := range v.Classes {
		if f, err = e.openClass(ctx, v.Worker, c); err != nil {
			return nil, err
		}
		locks = append(locks, f)
	}
	return locks, nil
}

// openClass is lockClass, after which the objects of the class have the states in
// which they are to begin.
func (e *Engine) openClass(ctx context.Context, worker string, c config.Class) (*os.File, error) {
	f, err := e.lockClass(ctx, worker, c.Key)
	if err == nil {
		if err = e.recovery.settle(ctx, worker, c); err != nil {
			f.Close()
		}
	}
	return f, err
}

// lockClass locks the folder of a class, and moves it here if it is another
// Worker's: which Worker has a class is what the snapshot says, and the folder
// follows when a cell starts. So a crash at any time leaves nothing to repair.
func (e *Engine) lockClass(ctx context.Context, worker, key string) (*os.File, error) {
	own := filepath.Join(e.objectsDir(worker), key)
	for {
		at := own
		if _, err := os.Stat(own); errors.Is(err, fs.ErrNotExist) {
			others, err := filepath.Glob(filepath.Join(filepath.Dir(e.objectsDir(worker)), "*", key))
			if err != nil {
				return nil, fmt.Errorf("find Durable Objects: %w", err)
			}
			if len(others) == 0 {
				if err := os.Mkdir(own, 0o700); err != nil {
					return nil, fmt.Errorf("make folder for Durable Objects: %w", err)
				}
			} else {
				at = others[0]
			}
		}
		f, err := lockFile(ctx, at, os.O_RDONLY)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was moved in between
		}
		if err != nil {
			return nil, err
		}
		if !sameFolder(f, at) {
			f.Close()
			continue // it was moved while we waited
		}
		if at == own {
			return f, nil
		}
		release := e.recovery.hold(key, true)
		err = disk.Rename(at, own)
		release()
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("take over Durable Objects: %w", err)
		}
		return f, nil
	}
}

// sameFolder: the open folder is the one at path.
func sameFolder(f *os.File, path string) bool {
	one, err := f.Stat()
	if err != nil {
		return false
	}
	other, err := os.Stat(path)
	return err == nil && os.SameFile(one, other)
}

// lockFile opens a file or folder and waits until nobody else has it locked.
func lockFile(ctx context.Context, path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags, 0o600)
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
			return nil, fmt.Errorf("lock Durable Objects in %s: another process has them open: %w", path, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// holders are the pools of other Workers that have objects of one of the shares'
// classes: those that are taken over.
func (w *worker) holders(shares []config.Share) []*pool {
	keys := map[string]bool{}
	for _, s := range shares {
		for _, c := range s.Version.Classes {
			keys[c.Key] = true
		}
	}
	w.e.mu.Lock()
	var others []*worker
	for _, other := range w.e.workers {
		if other != w && len(keys) > 0 {
			others = append(others, other)
		}
	}
	w.e.mu.Unlock()
	var list []*pool
	for _, other := range others {
		other.mu.Lock()
		for _, p := range other.pools {
			if slices.ContainsFunc(p.version.Classes, func(c config.Class) bool { return keys[c.Key] }) {
				list = append(list, p)
			}
		}
		other.mu.Unlock()
	}
	return list
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

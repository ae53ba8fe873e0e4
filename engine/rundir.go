package engine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// runDir holds the unix sockets of one engine. Its path is short, because a
// unix socket's is limited to 108 bytes (104 on some systems), and only its
// owner may enter.
//
// Cells run as that owner, and before Landlock's ABI 9 the kernel does not judge
// which socket a process connects to. So a socket's name is a secret: a cell is
// told those that it needs, can list the directory in no way, and cannot guess.
type runDir struct {
	path string
	lock *os.File
}

const runDirPattern = "selvage-"

// newRunDir makes a directory and removes those that killed processes left.
// A directory whose lock file nobody holds is such a one.
func newRunDir() (*runDir, error) {
	base := os.TempDir()
	if len(base) > 55 {
		base = "/tmp"
	}
	stale, _ := filepath.Glob(filepath.Join(base, runDirPattern+"*", "lock"))
	for _, name := range stale {
		if f, err := os.OpenFile(name, os.O_RDWR, 0); err == nil {
			if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				os.RemoveAll(filepath.Dir(name))
			}
			f.Close()
		}
	}
	path, err := os.MkdirTemp(base, runDirPattern) // mode 0700
	if err != nil {
		return nil, fmt.Errorf("make directory for sockets: %w", err)
	}
	// The lock is held before it has its name, so that another process that
	// starts at this moment never takes the directory for a stale one.
	lock, err := os.OpenFile(filepath.Join(path, "new"), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = errors.Join(unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB), os.Rename(lock.Name(), filepath.Join(path, "lock")))
	}
	if err != nil {
		os.RemoveAll(path)
		return nil, fmt.Errorf("lock directory for sockets: %w", err)
	}
	return &runDir{path: path, lock: lock}, nil
}

func (d *runDir) join(name string) string { return filepath.Join(d.path, name) }

// socket returns the path of a new socket. kind is one letter, for people who
// look at the directory.
func (d *runDir) socket(kind string) string { return d.join(kind + rand.Text()) }

func (d *runDir) remove() {
	os.RemoveAll(d.path)
	d.lock.Close()
}

// listenUnix makes a listening socket in non-blocking mode, as workerd needs
// it when two generations of a cell share it.
func listenUnix(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	unix.CloseOnExec(fd)
	if err := errors.Join(unix.SetNonblock(fd, true), unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 4096)); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrInUse says that another process has the data directory open.
var ErrInUse = errors.New("data directory is in use")

// Lock is the exclusive right to a data directory. It ends with the process,
// however the process ends.
type Lock struct{ file *os.File }

// Holder describes the process that has a data directory open. It is kept in
// the file "lock", which only its owner may read, and which cells never see.
type Holder struct {
	PID int `json:"pid"`
	// Socket is the path of its local API; empty while it starts, or if it
	// serves none.
	Socket string `json:"socket,omitempty"`
	// Secret is what the local API asks for, see [Local].
	Secret string `json:"secret,omitempty"`
}

// Acquire takes the data directory, creating it if it is missing. While another
// process has it, the error is ErrInUse and holder says who.
func Acquire(dir string) (lock *Lock, holder Holder, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, Holder{}, fmt.Errorf("create data directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, Holder{}, fmt.Errorf("lock data directory: %w", err)
	}
	if err := f.Chmod(0o600); err != nil { // whoever made it
		f.Close()
		return nil, Holder{}, fmt.Errorf("lock data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, Holder{}, fmt.Errorf("lock data directory: %w", err)
		}
		data, _ := os.ReadFile(path)
		json.Unmarshal(data, &holder) // the holder may be about to write it
		return nil, holder, fmt.Errorf("%w: %s (process %d)", ErrInUse, dir, holder.PID)
	}
	l := &Lock{f}
	if err := l.announce(Holder{PID: os.Getpid()}); err != nil {
		l.Release()
		return nil, Holder{}, err
	}
	return l, Holder{}, nil
}

// Announce tells other processes, of those who may read the directory, where
// the local API is and what it asks for.
func (l *Lock) Announce(local *Local) error {
	return l.announce(Holder{PID: os.Getpid(), Socket: local.Socket, Secret: local.Secret})
}

func (l *Lock) announce(h Holder) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	if _, err := l.file.WriteAt(data, 0); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	return nil
}

// Release gives the directory up.
func (l *Lock) Release() error { return l.file.Close() }

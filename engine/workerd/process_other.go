//go:build !linux

package workerd

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// fdFolder holds a process's own descriptors as files.
const fdFolder = "/dev/fd"

// configFile returns a file that has no name any more: the configuration holds
// the Worker's secrets.
func configFile(c *Config) (*os.File, error) {
	f, err := os.CreateTemp("", "selvage-config")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	if err := c.Write(f); err != nil {
		f.Close()
		return nil, err
	}
	// Opening /dev/fd/N may share the offset.
	if _, err := f.Seek(0, 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func leasedFile() (*os.File, error) { return nil, errors.ErrUnsupported }

func returnLease(*os.File) error { return errors.ErrUnsupported }

// SpareLife is zero: these systems have no leases.
func SpareLife() time.Duration { return 0 }

// processAttributes: these systems cannot tie a child's life to its parent's.
func processAttributes() *syscall.SysProcAttr { return nil }

func spawn(cmd *exec.Cmd) error { return cmd.Start() }

func usage(int) (Usage, error) {
	return Usage{}, errors.New("read usage of workerd: not available on this system")
}

func openThread(int) *threadFile { return nil }

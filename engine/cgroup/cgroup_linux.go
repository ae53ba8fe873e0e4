package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// contain makes the kernel create the process in the group (clone3), so that
// there is no moment in which it is elsewhere.
func contain(cmd *exec.Cmd, group *os.File) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.UseCgroupFD = true
	cmd.SysProcAttr.CgroupFD = int(group.Fd())
}

// owner is the user that a file belongs to.
func owner(path string) (int, error) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return 0, fmt.Errorf("look at %s: %w", path, err)
	}
	return int(s.Uid), nil
}

// delegated: systemd has marked the group as not its own. Older versions set
// the first attribute only, which is root's to read.
func delegated(dir string) bool {
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		value := make([]byte, 8)
		if n, err := unix.Getxattr(dir, name, value); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// Package sandbox confines a cell's process before its first instruction: no
// network of its own, no files but those it needs, no privileges, a narrow set
// of system calls.
//
// Restrictions of this kind cannot be taken back, so they are never applied to
// the server itself: [Policy.Prepare] makes a command start this same program
// as a launcher, which restricts itself and then becomes the command (see
// launch_linux.go). What the kernel does not offer is left out, and [Probe]
// says what that is.
package sandbox

import (
	"encoding/json"
	"fmt"
	"os/exec"
)

// Policy says what a confined process may do.
type Policy struct {
	// ReadOnly and ReadWrite are files and folders, with all below them. The
	// program itself is readable and executable; nothing else is.
	ReadOnly  []string `json:"read_only,omitempty"`
	ReadWrite []string `json:"read_write,omitempty"`
	// Network allows sockets other than unix ones. The inspector of
	// `selvage dev` needs it; nothing else does.
	Network bool `json:"network,omitempty"`
}

// launcherName is argv[0] of the launcher. No user can type it by accident:
// it is checked before flags are looked at.
const launcherName = "selvage-sandbox-launcher"

// Prepare changes cmd so that it starts confined. Call it last: it reads the
// command's path and arguments. On systems other than Linux it does nothing.
func (p Policy) Prepare(cmd *exec.Cmd) error {
	if !supported {
		return nil
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("confine process: %w", err)
	}
	cmd.Args = append([]string{launcherName, string(text), cmd.Path}, cmd.Args...)
	cmd.Path = self
	return nil
}

// Measure is one kind of confinement and whether this machine has it.
type Measure struct {
	Name string `json:"name"`
	// InForce: cells on this machine are confined this way.
	InForce bool `json:"in_force"`
	// Detail says what it keeps out, or what is missing.
	Detail string `json:"detail"`
}

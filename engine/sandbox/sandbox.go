// Package sandbox confines a cell's process before its first instruction: no
// network of its own, no files but those it needs, no privileges, a narrow set
// of system calls.
//
// Restrictions of this kind cannot be taken back, so they are never applied to
// the server itself: [Policy.Prepare] makes a command start this same program
// as a launcher, which restricts itself and then becomes the command (see
// launch_linux.go). A measure that the kernel does not offer is left out, and
// [Probe] says which.
//
// A Worker that breaks out of V8 is a process of the server's own user. What
// stands between it and the rest, each kept by the kernel:
//
//   - Files: Landlock (ABI 1). A cell sees neither the data directory, with the
//     secret of the local API in it, nor the folders of sockets. It sees two files
//     of /proc, so neither the list of sockets nor another process's environment.
//   - Processes: a Landlock domain may not trace what is outside of it. The filter
//     of system calls lets a process signal, limit and schedule only itself, on
//     every kernel.
//   - Sockets: a cell can make only unix ones. Abstract ones lead nowhere (ABI 6).
//     From ABI 9 on (Linux 7.1) the kernel judges a connection to a socket with a
//     path. Before, the sockets of other cells are out of reach because their names
//     are secrets of 130 bits, in a folder that a cell can neither list nor watch.
//     A cell can then connect to a socket of another program if it knows the path
//     and the server's user may open it, so the server should run as a user of its
//     own.
//   - Some things Landlock does not judge: modes, owners, attributes and watches of
//     files, System V memory and messages. The filter refuses them.
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
	// Connect are the unix sockets that it may connect to. The kernel holds it to
	// them from Landlock's ABI 9 on; before, it is to know of no others.
	Connect []string `json:"connect,omitempty"`
	// Network allows TCP sockets that listen. The inspector of `selvage dev`
	// needs it; nothing else does.
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

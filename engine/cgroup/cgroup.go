// Package cgroup lets the kernel bound the memory of processes. Each starts in a
// control group (cgroup v2) of its own, so the kernel holds it to a limit from
// its first instruction on.
//
// A process may make groups only where it is allowed to: by systemd's
// Delegate=yes, as root, or in a container whose hierarchy is writable. [Take]
// finds out whether it is, and says what to change if it is not; the caller then
// goes on without groups.
//
// Source: https://docs.kernel.org/admin-guide/cgroup-v2.html and
// https://systemd.io/CGROUP_DELEGATION/
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// serverGroup holds our own process: a group that bounds its children must
	// not hold processes itself, the top of the hierarchy excepted.
	serverGroup = "selvage-server"
	// cellGroup begins the names of the others: prefix, our pid, a number.
	cellGroup = "selvage-cell-"
	// maxTasks bounds the threads of a group. workerd has a few for each
	// processor and starts no processes.
	maxTasks = 1024
)

// Tree is a group of ours, under which each bounded process gets one. It is
// safe for concurrent use.
type Tree struct {
	dir   string
	tasks bool // the number of threads can be bounded, too
	count atomic.Int64
}

// Take makes the group of this process ready to have groups below it, for the
// life of the process. The process itself moves into a child group when it must.
// The error says why groups cannot be made and what to do about it; then
// nothing has changed. Further calls return what the first one did.
func Take() (*Tree, error) { return takeOnce() }

var takeOnce = sync.OnceValues(func() (*Tree, error) { return take("/proc", os.Getpid(), os.Geteuid()) })

func take(proc string, pid, uid int) (*Tree, error) {
	p, err := find(proc, strconv.Itoa(pid))
	if err != nil {
		return nil, err
	}
	if err := p.usable(pid, uid); err != nil {
		return nil, err
	}
	t := &Tree{dir: p.dir}
	server := filepath.Join(p.dir, serverGroup)
	if !p.top {
		if err := os.Mkdir(server, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make cgroup for the server: %w", err)
		}
		err = write(server, "cgroup.procs", strconv.Itoa(pid))
	}
	if err == nil {
		err = write(p.dir, "cgroup.subtree_control", "+memory")
	}
	if err == nil {
		t.tasks = write(p.dir, "cgroup.subtree_control", "+pids") == nil
		t.sweep(pid)
		err = t.try()
	}
	if err != nil {
		if !p.top {
			_ = write(p.dir, "cgroup.subtree_control", "-pids")
			_ = write(p.dir, "cgroup.subtree_control", "-memory")
			_ = write(p.dir, "cgroup.procs", strconv.Itoa(pid))
			_ = os.Remove(server)
		}
		return nil, fmt.Errorf("%s cannot be used: %w", p.dir, err)
	}
	return t, nil
}

// Dir is the folder of the tree.
func (t *Tree) Dir() string { return t.dir }

// try finds out whether processes can be born in a group: some containers
// refuse the system call.
func (t *Tree) try() error {
	g, err := t.New(64 << 20)
	if err != nil {
		return err
	}
	defer g.End()
	cmd := exec.Command("/proc/self/there is no such program")
	g.Contain(cmd)
	// A program that is not there is noticed after the birth.
	err = cmd.Start()
	if errors.Is(err, syscall.ENOSYS) {
		return errors.New("the system call clone3 is forbidden: RestrictNamespaces=no in the service, or a container with another seccomp profile")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("start a process in a cgroup: %w", err)
	}
	return nil
}

// sweep removes the groups that killed servers have left. Those in use refuse.
func (t *Tree) sweep(self int) {
	left, _ := filepath.Glob(filepath.Join(t.dir, cellGroup+"*"))
	for _, dir := range left {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), cellGroup), "-")
		pid, err := strconv.Atoi(owner)
		if err == nil && (pid == self || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)) {
			_ = os.Remove(dir)
		}
	}
}

// Group is where one process lives.
type Group struct {
	dir  string
	open *os.File
}

// New makes a group that the kernel holds to limit bytes: resident memory, file
// cache and what the kernel keeps for it, all without swap. Whoever exceeds
// that after all cache has been given back is killed. The caller calls End.
func (t *Tree) New(limit int64) (_ *Group, err error) {
	g := &Group{dir: filepath.Join(t.dir, fmt.Sprintf("%s%d-%d", cellGroup, os.Getpid(), t.count.Add(1)))}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(g.dir)
		}
	}()
	bounds := []struct{ file, value string }{
		{"memory.max", strconv.FormatInt(limit, 10)},
		{"memory.swap.max", "0"},
		{"memory.oom.group", "1"},
		{"pids.max", strconv.Itoa(maxTasks)},
	}
	for _, b := range bounds {
		if b.file == "pids.max" && !t.tasks {
			continue
		}
		// A kernel without swap has no bound on it.
		if err := write(g.dir, b.file, b.value); err != nil && !(b.file == "memory.swap.max" && errors.Is(err, fs.ErrNotExist)) {
			return nil, fmt.Errorf("bound cgroup: %w", err)
		}
	}
	if g.open, err = os.Open(g.dir); err != nil {
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	return g, nil
}

// Contain makes cmd start inside of the group.
func (g *Group) Contain(cmd *exec.Cmd) { contain(cmd, g.open) }

// End says what the kernel has done to the group's processes, and removes the
// group. They must have ended. Call it once.
func (g *Group) End() Events {
	text, _ := os.ReadFile(filepath.Join(g.dir, "memory.events"))
	g.open.Close()
	// The last thread may be on its way out of the kernel still. What cannot be
	// removed is empty, and the next server's to sweep.
	for range 20 {
		if err := os.Remove(g.dir); !errors.Is(err, syscall.EBUSY) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return parseEvents(string(text))
}

// Events are counts over the life of a group.
type Events struct {
	// OOM: the group was at its own limit and nothing could be given back.
	OOM int64
	// Killed processes. Without OOM it was not the group's limit: that of a
	// group above was reached, or the machine's memory was used up.
	Killed int64
}

// Examine says, for the process with that id, whether its children are bounded
// by groups already. If not, err tells why they cannot be; nil when they could.
func Examine(pid int) (inForce bool, err error) {
	p, err := find("/proc", strconv.Itoa(pid))
	if err != nil {
		return false, err
	}
	if filepath.Base(p.dir) == serverGroup && p.above().has("cgroup.subtree_control", "memory") {
		return true, nil
	}
	uid, err := owner(filepath.Join("/proc", strconv.Itoa(pid)))
	if err != nil {
		return false, err
	}
	return false, p.usable(pid, uid)
}

// place is a cgroup seen as a folder.
type place struct {
	dir      string
	mount    string // where the hierarchy begins
	top      bool   // it is the machine's first group, to which other rules apply
	readOnly bool
}

func (p place) above() place { return place{dir: filepath.Dir(p.dir), mount: p.mount} }

// has: word is in the list that the file of that name holds.
func (p place) has(file, word string) bool {
	text, _ := os.ReadFile(filepath.Join(p.dir, file))
	return slices.Contains(strings.Fields(string(text)), word)
}

// find returns the group of a process; id is its number.
func find(proc, id string) (place, error) {
	var p place
	own, err := os.ReadFile(filepath.Join(proc, id, "cgroup"))
	if err != nil {
		return p, fmt.Errorf("this system has no cgroups: %w", err)
	}
	mounts, err := os.ReadFile(filepath.Join(proc, id, "mountinfo"))
	if errors.Is(err, fs.ErrPermission) { // another user's process
		mounts, err = os.ReadFile(filepath.Join(proc, "self", "mountinfo"))
	}
	if err != nil {
		return p, fmt.Errorf("this system has no cgroups: %w", err)
	}
	path, ok := parseOwn(string(own))
	if !ok {
		return p, errors.New("this machine has no cgroup v2: boot with systemd.unified_cgroup_hierarchy=1")
	}
	for _, m := range parseMounts(string(mounts)) {
		// The last mount of a place is the one that is seen.
		if rel, err := filepath.Rel(m.root, path); err == nil && filepath.IsLocal(rel) {
			p = place{dir: filepath.Join(m.point, rel), mount: m.point, readOnly: m.readOnly}
		}
	}
	if p.dir == "" {
		return p, errors.New("cgroup v2 is not mounted where this process could see its own group: mount it at /sys/fs/cgroup")
	}
	_, err = os.Stat(filepath.Join(p.dir, "cgroup.type"))
	p.top = errors.Is(err, fs.ErrNotExist)
	return p, nil
}

const delegate = "run it as a service with Delegate=yes (systemd-run -p Delegate=yes, to try)"

// usable says what keeps a process from making groups below its own.
func (p place) usable(pid, uid int) error {
	if !(place{dir: p.mount}).has("cgroup.controllers", "memory") {
		return errors.New("this machine's cgroup v2 lacks the memory controller: boot with systemd.unified_cgroup_hierarchy=1 and without cgroup_disable=memory")
	}
	if !p.has("cgroup.controllers", "memory") {
		return fmt.Errorf("the memory controller is not handed down to %s: %s", p.dir, delegate)
	}
	if p.readOnly {
		return fmt.Errorf("%s is read-only: ProtectControlGroups=no in the service, or a container with a writable /sys/fs/cgroup", p.mount)
	}
	for _, name := range []string{".", "cgroup.procs", "cgroup.subtree_control"} {
		if its, err := owner(filepath.Join(p.dir, name)); err != nil || uid != 0 && its != uid {
			return fmt.Errorf("%s is not delegated to this user: %s", p.dir, delegate)
		}
	}
	if ext := filepath.Ext(p.dir); uid == 0 && (ext == ".service" || ext == ".scope") && !delegated(p.dir) {
		return fmt.Errorf("%s is managed by systemd: %s", p.dir, delegate)
	}
	if p.top {
		return nil
	}
	procs, err := os.ReadFile(filepath.Join(p.dir, "cgroup.procs"))
	if err != nil {
		return fmt.Errorf("read cgroup: %w", err)
	}
	for _, id := range strings.Fields(string(procs)) {
		if id != strconv.Itoa(pid) {
			return fmt.Errorf("%s holds other processes: %s", p.dir, delegate)
		}
	}
	return nil
}

func write(dir, file, value string) error {
	// Not os.WriteFile: the files are there or the kernel does not know them.
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tree lists the side's processes with all their descendants.
func (s *side) tree() []process {
	all := map[int]process{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			all[pid] = p
		}
	}
	var list []process
	for pid, p := range all {
		for ; pid > 1; pid = all[pid].parent {
			if s.owns(pid) {
				list = append(list, p)
				break
			}
		}
	}
	return list
}

func (s *side) owns(pid int) bool {
	for _, p := range s.processes {
		if p.Process.Pid == pid {
			return true
		}
	}
	return false
}

// process is what /proc/PID/stat says.
type process struct {
	pid, parent int
	name        string
	cpu         time.Duration
}

func readProcess(pid int) (process, bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, false
	}
	// The name stands in parentheses and may hold some itself.
	before, name, _ := bytes.Cut(stat, []byte("("))
	end := bytes.LastIndexByte(name, ')')
	fields := strings.Fields(string(name[end+1:]))
	if len(before) == 0 || end < 0 || len(fields) < 13 {
		return process{}, false
	}
	p := process{pid: pid, name: string(name[:end])}
	p.parent, _ = strconv.Atoi(fields[1])
	for _, ticks := range fields[11:13] { // in user mode, in the kernel
		n, _ := strconv.Atoi(ticks)
		p.cpu += time.Duration(n) * (time.Second / userHZ)
	}
	return p, true
}

// userHZ is the unit of the times in /proc, on every architecture of Linux that
// workerd runs on.
const userHZ = 100

// cpu returns the processor time that the side's processes have used, that of
// the workerd processes among them, and our own.
func (s *side) cpu() (all, engine, own time.Duration) {
	for _, p := range s.tree() {
		all += p.cpu
		if p.name == "workerd" {
			engine += p.cpu
		}
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		own = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return all, engine, own
}

// memory adds up the proportional set sizes of the side's processes.
func (s *side) memory() int64 {
	var total int64
	for _, p := range s.tree() {
		total += pss(p.pid)
	}
	return total
}

func pss(pid int) int64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

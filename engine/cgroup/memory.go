package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Memory is what new processes could have, in bytes.
type Memory struct {
	// Total is the machine's, or the bound of the group, of ours and those above
	// it, that has the least left; Available what can be had without swapping.
	Total, Available int64
}

// MachineMemory looks how much memory this process and its children may still
// use: the machine's, and within the bounds of the groups it is in. It fails
// where there is no Linux, or an old one.
//
// Source: proc_meminfo(5) and https://docs.kernel.org/admin-guide/cgroup-v2.html
func MachineMemory() (Memory, error) { return machineMemory("/proc") }

func machineMemory(proc string) (Memory, error) {
	text, err := os.ReadFile(filepath.Join(proc, "meminfo"))
	if err != nil {
		return Memory{}, fmt.Errorf("look how much memory is free: %w", err)
	}
	values := parseCounts(string(text))
	m := Memory{Total: values["MemTotal:"] << 10, Available: values["MemAvailable:"] << 10}
	if m.Total == 0 || m.Available == 0 {
		return Memory{}, errors.New("look how much memory is free: meminfo does not tell")
	}
	p, err := find(proc, "self")
	if err != nil {
		return m, nil // without cgroup v2 nothing else bounds it that could be seen
	}
	for ; len(p.dir) > len(p.mount); p = p.above() {
		m = m.within(p)
	}
	return m.within(p), nil
}

// within is m if p leaves as much, else what p leaves.
func (m Memory) within(p place) Memory {
	limit, ok := p.number("memory.max")
	used, ok2 := p.number("memory.current")
	if !ok || !ok2 {
		return m // it has no bound
	}
	// Pages of files that nobody has read lately are given back first.
	stat, _ := os.ReadFile(filepath.Join(p.dir, "memory.stat"))
	if left := max(limit-used+parseCounts(string(stat))["inactive_file"], 0); left < m.Available {
		return Memory{Total: limit, Available: left}
	}
	return m
}

// number reads a file that holds one; "max" is none.
func (p place) number(file string) (int64, bool) {
	text, err := os.ReadFile(filepath.Join(p.dir, file))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil && n >= 0
}

// parseCounts reads lines of a name and a number; what follows is left out.
func parseCounts(text string) map[string]int64 {
	counts := map[string]int64{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if n, err := strconv.ParseInt(fields[1], 10, 53); err == nil && n >= 0 {
			counts[fields[0]] = n
		}
	}
	return counts
}

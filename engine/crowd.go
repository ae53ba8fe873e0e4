package engine

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// memoryFloor is the part of the machine's memory that idle cells leave
// available: one in memoryFloor.
const memoryFloor = 16

// thin stops the cells that have been idle longest while all of them together
// have more than CellsMemory resident, and one at each look while the machine
// has little memory available. Those that serve somebody stay, as do Durable
// Objects that wait for an alarm: each is bounded by MaxMemory.
func (e *Engine) thin(cells []*cell) {
	var sum int64
	var idle []*cell
	for _, c := range cells {
		sum += c.watch.memory
		if !c.watch.busy {
			idle = append(idle, c)
		}
	}
	available, total := e.o.machine()
	short := available < total/memoryFloor
	if sum <= e.o.CellsMemory && !short {
		return
	}
	slices.SortFunc(idle, func(a, b *cell) int { return a.watch.lastActive.Compare(b.watch.lastActive) })
	for _, c := range idle {
		if sum <= e.o.CellsMemory && !short {
			return
		}
		if c.pool.durable() && c.pool.alarmSet() {
			continue
		}
		c.pool.stopIdle(c)
		sum -= c.watch.memory
		short = false // until the next look tells what that gave
	}
}

// machineMemory reads how much memory the machine has, and how much of it can be
// had without swapping, in bytes; zeros where that is not told.
//
// Source: https://docs.kernel.org/filesystems/proc.html#meminfo
func machineMemory() (available, total int64) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	return parseMemory(string(text))
}

func parseMemory(text string) (available, total int64) {
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 43)
		switch {
		case err != nil:
		case name == "MemAvailable":
			available = kilobytes << 10
		case name == "MemTotal":
			total = kilobytes << 10
		}
	}
	if available == 0 {
		return 0, 0
	}
	return available, total
}

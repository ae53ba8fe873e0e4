package engine

import (
	"slices"

	"github.com/selvage-edge/selvage/engine/cgroup"
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
		if c.home() && c.pool.alarmSet() {
			continue
		}
		c.pool.stopIdle(c)
		sum -= c.watch.memory
		short = false // until the next look tells what that gave
	}
}

// machineMemory is cgroup.MachineMemory; zeros where that is not told.
func machineMemory() (available, total int64) {
	m, err := cgroup.MachineMemory()
	if err != nil {
		return 0, 0
	}
	return m.Available, m.Total
}

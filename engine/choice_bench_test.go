package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// How to choose among cells: their threads take requests one after the other,
// most of 1 ms and every tenth of 20 ms, and are busy to 80 %. wait-ms is the
// mean of what a request waits before its turn, wait-p99-ms the 99th percentile;
// ns/op counts the simulation, too.
func BenchmarkChoice(b *testing.B) {
	twoRandom := func(cells []*cell) *cell {
		i := rand.IntN(len(cells))
		j := rand.IntN(len(cells) - 1)
		if j >= i {
			j++
		}
		return leastBusy([]*cell{cells[i], cells[j]})
	}
	for _, n := range []int{2, 4, 16} {
		for _, c := range []struct {
			name   string
			choose func([]*cell) *cell
		}{
			{"fewest", leastBusy},
			{"two", twoRandom},
			{"random", func(cells []*cell) *cell { return cells[rand.IntN(len(cells))] }},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				random := rand.New(rand.NewPCG(1, uint64(n)))
				cells := make([]*cell, n)
				ends := make([][]float64, n) // of the requests in flight, in ms
				for i := range cells {
					cells[i] = &cell{}
				}
				const mean = 0.9*1 + 0.1*20
				now, sum := 0.0, 0.0
				var waits []float64
				for b.Loop() {
					now += random.ExpFloat64() * mean / 0.8 / float64(n)
					for i, list := range ends {
						for len(list) > 0 && list[0] <= now {
							list = list[1:]
							cells[i].inFlight.Add(-1)
						}
						ends[i] = list
					}
					service := 1.0
					if random.IntN(10) == 0 {
						service = 20
					}
					chosen := c.choose(cells)
					chosen.inFlight.Add(1)
					i := slices.Index(cells, chosen)
					wait := 0.0
					if k := len(ends[i]); k > 0 {
						wait = ends[i][k-1] - now
					}
					ends[i] = append(ends[i], now+wait+service)
					sum += wait
					waits = append(waits, wait)
				}
				slices.Sort(waits)
				b.ReportMetric(sum/float64(len(waits)), "wait-ms")
				b.ReportMetric(waits[len(waits)*99/100], "wait-p99-ms")
			})
		}
	}
}

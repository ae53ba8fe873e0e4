package main

import (
	"fmt"
	"io"
	"runtime"
	"time"
)

// table collects the medians and prints Markdown.
type table struct {
	sides  []*side
	rows   []tableRow
	memory []int64 // bytes, one per side
}

type tableRow struct {
	name  string
	cells []result // one per side
}

func (t *table) add(row string, results [][]result) {
	r := tableRow{name: row}
	for _, list := range results {
		r.cells = append(r.cells, median(list))
	}
	t.rows = append(t.rows, r)
}

func (t *table) print(out io.Writer, o options) {
	fmt.Fprintf(out, "%d connections, %v per measurement, median of %d interleaved rounds, %s, %d cores, load generator on the same cores.\n\n",
		o.load.connections, o.load.duration, o.rounds, runtime.GOARCH, runtime.NumCPU())
	fmt.Fprint(out, "| requests/s (p50 / p99 ms) |")
	for _, s := range t.sides {
		fmt.Fprintf(out, " %s |", s.title)
	}
	for _, s := range t.sides[1:] {
		fmt.Fprintf(out, " %s ÷ %s |", t.sides[0].name, s.name)
	}
	fmt.Fprint(out, "\n|---|")
	for range 2*len(t.sides) - 1 {
		fmt.Fprint(out, "---:|")
	}
	fmt.Fprintln(out)
	for _, row := range t.rows {
		fmt.Fprintf(out, "| %s |", row.name)
		for _, c := range row.cells {
			if c.requests == 0 {
				fmt.Fprint(out, " – |")
				continue
			}
			fmt.Fprintf(out, " %.0f (%s / %s)", c.rate, milliseconds(c.p50), milliseconds(c.p99))
			if c.failed > 0 {
				fmt.Fprintf(out, " %d failed", c.failed)
			}
			fmt.Fprint(out, " |")
		}
		for _, c := range row.cells[1:] {
			if c.requests == 0 || row.cells[0].requests == 0 {
				fmt.Fprint(out, " – |")
				continue
			}
			fmt.Fprintf(out, " %.2f |", row.cells[0].rate/c.rate)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprint(out, "| memory of all its processes after the run |")
	for _, m := range t.memory {
		fmt.Fprintf(out, " %d MB |", m>>20)
	}
	for _, m := range t.memory[1:] {
		fmt.Fprintf(out, " %.2f |", float64(t.memory[0])/float64(m))
	}
	fmt.Fprintln(out)
	t.printCPU(out)
	fmt.Fprintln(out, "\nWhat an acknowledged write means on each side:")
	for _, s := range t.sides {
		if s.promise != "" {
			fmt.Fprintf(out, "- %s: %s\n", s.name, s.promise)
		}
	}
}

// printCPU prints what a request costs, which depends less on what else the
// machine does than rates do.
func (t *table) printCPU(out io.Writer) {
	fmt.Fprint(out, "\n| processor time per request, microseconds (of it in workerd) |")
	for _, s := range t.sides {
		fmt.Fprintf(out, " %s |", s.title)
	}
	fmt.Fprint(out, " load generator |\n|---|")
	for range len(t.sides) + 1 {
		fmt.Fprint(out, "---:|")
	}
	fmt.Fprintln(out)
	for _, row := range t.rows {
		fmt.Fprintf(out, "| %s |", row.name)
		for _, c := range row.cells {
			if c.requests == 0 {
				fmt.Fprint(out, " – |")
				continue
			}
			fmt.Fprintf(out, " %d (%d) |", c.cpu.Microseconds(), c.engine.Microseconds())
		}
		fmt.Fprintf(out, " %d |\n", row.cells[0].load.Microseconds())
	}
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000)
}

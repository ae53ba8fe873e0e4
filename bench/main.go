// Command bench measures Selvage beside its peers, in one run, on one machine:
// the same Worker behind `selvage dev --no-observe`, on bare workerd with the
// bindings that workerd bundles, and under `wrangler dev`; static files beside
// nginx, too. rows.go has the list of what is measured.
//
//	go run ./bench                       the table of bench/README.md
//	go run ./bench -sides selvage,workerd -rows hello,kv-get -seconds 2
//
// Sides take turns within each row and each round, so that a noisy moment hits
// all of them; the figures are medians over the rounds.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

func main() {
	var all []string
	for _, r := range rows {
		all = append(all, r.name)
	}
	sides := flag.String("sides", "selvage,workerd,wrangler,nginx", "which sides to measure")
	names := flag.String("rows", strings.Join(all, ","), "which rows to measure")
	conns := flag.Int("connections", 32, "connections that send requests one after another")
	seconds := flag.Float64("seconds", 3, "length of one measurement")
	rounds := flag.Int("rounds", 3, "measurements of each row on each side")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	list, unknown := find(strings.Split(*names, ","))
	err := fmt.Errorf("no row %q: have %s", unknown, strings.Join(all, ", "))
	if unknown == "" {
		err = run(ctx, os.Stdout, options{
			sides: strings.Split(*sides, ","), rows: list,
			load: load{connections: *conns, duration: time.Duration(*seconds * float64(time.Second))}, rounds: *rounds,
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	sides  []string
	rows   []row
	load   load
	rounds int
}

func run(ctx context.Context, out io.Writer, o options) error {
	dir, err := os.MkdirTemp("", "selvage-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var running []*side
	defer func() {
		for _, s := range running {
			s.stop()
		}
	}()
	for _, name := range o.sides {
		start, ok := starters[name]
		if !ok {
			return fmt.Errorf("no side %q: have selvage, workerd, wrangler, nginx", name)
		}
		if !slices.ContainsFunc(o.rows, func(r row) bool { return r.on(name) }) {
			continue
		}
		fmt.Fprintf(os.Stderr, "starting %s\n", name)
		s, err := start(ctx, dir)
		if s != nil {
			running = append(running, s)
		}
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
	}
	t := &table{sides: running}
	for _, row := range o.rows {
		results, err := o.measure(ctx, row, running)
		if err != nil {
			return err
		}
		t.add(row.name, results)
	}
	for _, s := range running {
		t.memory = append(t.memory, s.memory())
	}
	t.print(out, o)
	return nil
}

// measure returns what the rounds of a row gave on each side; nothing for a
// side that does not have it.
func (o options) measure(ctx context.Context, row row, sides []*side) ([][]result, error) {
	results := make([][]result, len(sides))
	targets := make([][]target, len(sides))
	for i, s := range sides {
		if !row.on(s.name) {
			continue
		}
		started := len(s.processes)
		defer func() { s.stopAfter(started) }()
		var err error
		if targets[i], err = s.targets(ctx, row); err != nil {
			return nil, fmt.Errorf("prepare %s on %s: %w", row.name, s.name, err)
		}
	}
	for round := range o.rounds {
		for i := range sides {
			i = (i + round) % len(sides) // nobody always goes first
			if targets[i] == nil {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s: round %d, %s\n", row.name, round+1, sides[i].name)
			r, err := o.load.run(ctx, sides[i], targets[i])
			if err != nil {
				return nil, fmt.Errorf("%s on %s: %w", row.name, sides[i].name, err)
			}
			results[i] = append(results[i], r)
		}
	}
	return results, nil
}

// median returns the result with the middle rate; nothing of nothing.
func median(list []result) result {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b result) int {
		switch {
		case a.rate < b.rate:
			return -1
		case a.rate > b.rate:
			return 1
		}
		return 0
	})
	if len(sorted) == 0 {
		return result{}
	}
	return sorted[len(sorted)/2]
}

// Command bench measures Selvage beside its peers, in one run, on one machine:
// the same Worker behind `selvage dev --no-observe`, on bare workerd with the
// bindings that workerd bundles, and under `wrangler dev`.
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
	sides := flag.String("sides", "selvage,workerd,wrangler", "which sides to measure")
	rows := flag.String("rows", "hello,compute,kv-get,kv-put,d1-read,d1-insert,queue-send,queue-through,service-fetch,service-rpc", "which rows to measure")
	conns := flag.Int("connections", 32, "connections that send requests one after another")
	seconds := flag.Float64("seconds", 3, "length of one measurement")
	rounds := flag.Int("rounds", 3, "measurements of each row on each side")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Stdout, options{
		sides: strings.Split(*sides, ","), rows: strings.Split(*rows, ","),
		load: load{connections: *conns, duration: time.Duration(*seconds * float64(time.Second))}, rounds: *rounds,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	sides, rows []string
	load        load
	rounds      int
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
			return fmt.Errorf("no side %q: have selvage, workerd, wrangler", name)
		}
		fmt.Fprintf(os.Stderr, "starting %s\n", name)
		s, err := start(ctx, dir)
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		running = append(running, s)
		if err := s.prepare(ctx); err != nil {
			return fmt.Errorf("prepare %s: %w", name, err)
		}
	}
	t := &table{sides: running}
	for _, row := range o.rows {
		results := make([][]result, len(running))
		for round := range o.rounds {
			for i := range running {
				i = (i + round) % len(running) // nobody always goes first
				fmt.Fprintf(os.Stderr, "%s: round %d, %s\n", row, round+1, running[i].name)
				r, err := o.load.run(ctx, running[i], row)
				if err != nil {
					return fmt.Errorf("%s on %s: %w", row, running[i].name, err)
				}
				results[i] = append(results[i], r)
			}
		}
		t.add(row, results)
	}
	for _, s := range running {
		t.memory = append(t.memory, s.memory())
	}
	t.print(out, o)
	return nil
}

// median returns the result with the middle rate.
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
	return sorted[len(sorted)/2]
}

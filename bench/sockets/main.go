// Command sockets measures connections that stay open: WebSockets, WebSockets
// of a Durable Object that hibernates, and server-sent events. It says what
// each costs in memory, in our process and in workerd's, and how long a message
// to all of them takes, behind `selvage serve` and on raw workerd, in
// one run.
//
//	go run ./bench/sockets                        the table of bench/README.md
//	go run ./bench/sockets -n 1000 -kinds sse
//
// A connection takes two descriptors of the server: `ulimit -n` must be a little
// over twice the number of connections.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	n := flag.Int("n", 10_000, "connections")
	kinds := flag.String("kinds", "websocket,hibernating,sse", "which kinds to measure")
	sides := flag.String("sides", "selvage,workerd", "which sides to measure")
	rounds := flag.Int("rounds", 5, "messages to all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *n, *rounds, strings.Split(*kinds, ","), strings.Split(*sides, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "sockets:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n, rounds int, kinds, sides []string) error {
	dir, err := os.MkdirTemp("", "selvage-sockets-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "kind\tside\tconnections\tserver, KB each\tworkerd, KB each\tserver at rest\tworkerd at rest\tto all, p50\tp99")
	for _, kind := range kinds {
		for _, name := range sides {
			if err := measure(ctx, dir, name, kind, n, rounds, out); err != nil {
				return fmt.Errorf("%s on %s: %w", kind, name, err)
			}
		}
	}
	return out.Flush()
}

// hibernation is how long workerd waits before an object without work is put to
// sleep, and some more.
const hibernation = 13 * time.Second

// measure starts a side, opens the connections, and prints a row.
func measure(ctx context.Context, dir, name, kind string, n, rounds int, out *tabwriter.Writer) error {
	start, ok := starters[name]
	if !ok {
		return fmt.Errorf("no side %q: have selvage, workerd", name)
	}
	s, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	c := &crowd{address: s.address, host: s.host}
	if _, err := c.tick(ctx); err != nil {
		return err
	}
	server, engine := s.memory()
	defer c.close()
	if err := c.open(ctx, kind, n); err != nil {
		return err
	}
	if kind == "hibernating" {
		select {
		case <-time.After(hibernation):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	serverAfter, engineAfter := s.memory()
	var latencies []time.Duration
	for range rounds {
		list, err := c.tick(ctx)
		if err != nil {
			return err
		}
		latencies = append(latencies, list...)
	}
	if slept := c.made > 1; slept != (kind == "hibernating") {
		return fmt.Errorf("the object was made %d times", c.made)
	}
	slices.Sort(latencies)
	each := func(after, before int64) float64 { return float64(after-before) / float64(n) / 1024 }
	fmt.Fprintf(out, "%s\t%s\t%d\t%.1f\t%.1f\t%d MB\t%d MB\t%d ms\t%d ms\n", kind, name, n,
		each(serverAfter, server), each(engineAfter, engine), server>>20, engine>>20,
		latencies[len(latencies)/2].Milliseconds(), latencies[len(latencies)*99/100].Milliseconds())
	return nil
}

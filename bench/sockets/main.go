// Command sockets measures connections that stay open: WebSockets, WebSockets
// of a Durable Object that hibernates, and server-sent events. It says what
// each costs in memory, in our process and in workerd's, and how long a message
// to all of them takes, behind `selvage serve` and on raw workerd, in
// one run.
//
//	go run ./bench/sockets                        the table of bench/README.md
//	go run ./bench/sockets -n 1000 -kinds sse
//
// A connection takes two descriptors of the server. Where the limit of open files
// is lower, root raises it for this command and what it starts; others are told.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	n := flag.Int("n", 10_000, "connections")
	kinds := flag.String("kinds", "websocket,hibernating,sse", "which kinds to measure")
	sides := flag.String("sides", "selvage,workerd", "which sides to measure")
	rounds := flag.Int("rounds", 5, "messages to all")
	program := flag.String("selvage", "", "the `path` of selvage, where there is no Go; default: it is built")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	starters := map[string]starter{"selvage": startSelvage(*program), "workerd": startWorkerd}
	if err := run(ctx, starters, *n, *rounds, strings.Split(*kinds, ","), strings.Split(*sides, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "sockets:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, starters map[string]starter, n, rounds int, kinds, sides []string) error {
	if err := allowFiles(uint64(2*n + 500)); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "selvage-sockets-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "kind\tside\tconnections\tserver, KB each\tworkerd, KB each\tserver at rest\tworkerd at rest\tto all, p50\tp99")
	for _, kind := range kinds {
		for _, name := range sides {
			start, ok := starters[name]
			if !ok {
				return fmt.Errorf("no side %q: have selvage, workerd", name)
			}
			if err := measure(ctx, dir, name, start, kind, n, rounds, out); err != nil {
				return fmt.Errorf("%s on %s: %w", kind, name, err)
			}
		}
	}
	return out.Flush()
}

// allowFiles raises the limit of open files to n, for this process and those that
// it starts.
func allowFiles(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	want := syscall.Rlimit{Cur: max(n, limit.Cur), Max: max(n, limit.Max)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want); err != nil {
		return fmt.Errorf("raise the limit of open files from %d to %d: %w; be root, or say `ulimit -n %d` first", limit.Max, n, err, n)
	}
	return nil
}

// hibernation is how long workerd waits before an object without work is put to
// sleep, and some more.
const hibernation = 13 * time.Second

// measure starts a side, opens the connections, and prints a row.
func measure(ctx context.Context, dir, name string, start starter, kind string, n, rounds int, out *tabwriter.Writer) error {
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

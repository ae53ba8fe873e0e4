// Command scale measures a server with many deployed Workers: how soon it
// starts, what it holds in memory, how long the first request to a Worker that
// is not running takes, and whether the others cost the one anything.
//
//	go run ./bench/scale                 the table of bench/README.md
//	go run ./bench/scale -workers 100
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

func main() {
	workers := flag.Int("workers", 1000, "how many Workers are deployed")
	cold := flag.Int("cold", 100, "how many of them get a first request")
	seconds := flag.Float64("seconds", 3, "length of one measurement of throughput")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *workers, min(*cold, *workers-1), time.Duration(*seconds*float64(time.Second))); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, workers, cold int, length time.Duration) error {
	dir, err := os.MkdirTemp("", "selvage-scale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := newServer(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { s.stop() }()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer out.Flush()
	row := func(what, figure string) { fmt.Fprintf(out, "%s\t%s\n", what, figure) }

	if err := s.deploy("w0", source(0, 0)); err != nil {
		return err
	}
	alone, aloneCost, err := s.throughput("w0", length)
	if err != nil {
		return err
	}
	live, err := s.timeToLive("big", 1<<20)
	if err != nil {
		return err
	}
	row("deploy of a 1 MB Worker, from the end of the upload to its first answer", live.Round(time.Millisecond).String())

	begin := time.Now()
	if err := s.deployAll(workers); err != nil {
		return err
	}
	row(fmt.Sprintf("%d deployments, 4 at a time, each started on trial", workers), time.Since(begin).Round(100*time.Millisecond).String())
	if err := s.stop(); err != nil {
		return err
	}
	started, err := s.start(ctx)
	if err != nil {
		return err
	}
	row(fmt.Sprintf("start of the server with %d Workers", workers), started.Round(time.Millisecond).String())
	idle, err := s.memory()
	if err != nil {
		return err
	}
	row("memory then (PSS of all processes)", fmt.Sprintf("%d MB", idle>>20))

	var first []time.Duration
	for i := 1; i <= cold; i++ {
		begin := time.Now()
		if err := s.ask(fmt.Sprintf("w%d", i)); err != nil {
			return err
		}
		first = append(first, time.Since(begin))
	}
	slices.Sort(first)
	row(fmt.Sprintf("first request to a cold Worker, median of %d", cold), first[len(first)/2].Round(time.Millisecond).String())
	row("the same, p95", first[len(first)*95/100].Round(time.Millisecond).String())
	busy, err := s.memory()
	if err != nil {
		return err
	}
	row(fmt.Sprintf("memory with %d cells running", cold), fmt.Sprintf("%d MB", busy>>20))

	// The cells of the cold requests would take part in what is measured next.
	if err := s.stop(); err != nil {
		return err
	}
	if _, err := s.start(ctx); err != nil {
		return err
	}
	many, manyCost, err := s.throughput("w0", length)
	if err != nil {
		return err
	}
	row("requests/s to one Worker, alone (best of 3)", fmt.Sprintf("%.0f", alone))
	row(fmt.Sprintf("the same beside %d others", workers-1), fmt.Sprintf("%.0f", many))
	row("processor time of the server for a request, alone", aloneCost.String())
	row(fmt.Sprintf("the same beside %d others", workers-1), manyCost.String())
	return nil
}

// source is a Worker of about so many bytes.
func source(n, bytes int) string {
	text := fmt.Sprintf("export default { fetch() { return new Response(\"hello from %d\") } };\n", n)
	if bytes > 0 {
		text += "// " + strings.Repeat("0123456789abcdef", bytes/16) + "\n"
	}
	return text
}

// deployAll deploys w1 to w(n-1).
func (s *server) deployAll(n int) error {
	next := make(chan int)
	errs := make(chan error, 4)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range next {
				if err := s.deploy(fmt.Sprintf("w%d", i), source(i, 0)); err != nil {
					errs <- err
					break
				}
			}
			for range next { // after an error
			}
		})
	}
	for i := 1; i < n; i++ {
		next <- i
	}
	close(next)
	all.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// timeToLive deploys a Worker that is being used and says how long it took
// from the last byte of the new version's upload to its first answer.
func (s *server) timeToLive(name string, bytes int) (time.Duration, error) {
	if err := s.deploy(name, source(1, bytes)); err != nil {
		return 0, err
	}
	if err := s.ask(name); err != nil {
		return 0, err
	}
	begin := time.Now() // loopback: the upload itself takes next to nothing
	if err := s.upload(name, source(2, bytes)); err != nil {
		return 0, err
	}
	for {
		text, err := s.get(name)
		if err != nil {
			return 0, err
		}
		if strings.HasSuffix(text, " 2") {
			return time.Since(begin), nil
		}
		time.Sleep(time.Millisecond)
	}
}

// throughput is the best of three rounds: what else the machine does can only
// make a round slower. cost is the server's own processor time for a request,
// which other work on the machine changes little.
func (s *server) throughput(worker string, length time.Duration) (best float64, cost time.Duration, err error) {
	before, err := s.cpu()
	if err != nil {
		return 0, 0, err
	}
	total := 0
	for range 3 {
		n, took, err := s.round(worker, length)
		if err != nil {
			return 0, 0, err
		}
		best = max(best, float64(n)/took.Seconds())
		total += n
	}
	after, err := s.cpu()
	return best, (after - before) / time.Duration(total), err
}

// round sends requests over 32 connections, one after another on each.
func (s *server) round(worker string, length time.Duration) (requests int, took time.Duration, err error) {
	if err := s.ask(worker); err != nil {
		return 0, 0, err
	}
	var mu sync.Mutex
	var total int
	var failed error
	var all sync.WaitGroup
	begin := time.Now()
	for range 32 {
		all.Go(func() {
			n := 0
			var err error
			for err == nil && time.Since(begin) < length {
				err = s.ask(worker)
				n++
			}
			mu.Lock()
			defer mu.Unlock()
			total += n
			if err != nil {
				failed = err
			}
		})
	}
	all.Wait()
	return total, time.Since(begin), failed
}

// Command s3 measures the S3 API of R2 beside other S3 servers, and beside plain
// files from net/http, which is the limit of a GET: in one run, on one machine.
//
//	go run ./bench/s3 -versitygw PATH -minio PATH          the table of bench/README.md
//	go run ./bench/s3 -rows put-4K,get-4K -seconds 2
//
// Requests are signed once, in their URLs, so that the load generator signs
// nothing while it measures. Sides take turns within each row and each round.
// Puts are durable where the server makes them so; see the README.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// row is a request that is sent over and over.
type row struct {
	name string
	put  bool
	list bool
	size int64
	// conns send requests one after another.
	conns int
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

var rows = []row{
	{name: "get-4K", size: 4 * kib, conns: 16}, {name: "get-1M", size: mib, conns: 8}, {name: "get-100M", size: 100 * mib, conns: 2},
	{name: "put-4K", put: true, size: 4 * kib, conns: 16}, {name: "put-1M", put: true, size: mib, conns: 8}, {name: "put-100M", put: true, size: 100 * mib, conns: 2},
	{name: "list", list: true, conns: 1},
}

type options struct {
	keys    int
	rounds  int
	seconds time.Duration
	peers   map[string]string // programs
}

func main() {
	o := options{peers: map[string]string{}}
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	list := flag.String("rows", strings.Join(names, ","), "which rows to measure")
	seconds := flag.Float64("seconds", 3, "length of one measurement")
	flag.IntVar(&o.rounds, "rounds", 3, "measurements of each row on each side")
	flag.IntVar(&o.keys, "keys", 1_000_000, "keys in the bucket of the row list, which takes a page of 1,000 from their middle")
	versity := flag.String("versitygw", "", "the program versitygw; without it that side is left out")
	minio := flag.String("minio", "", "the program minio; without it that side is left out")
	files := flag.String("files", "", "serve the files of a folder, for the bench itself")
	flag.Parse()
	if *files != "" {
		exit(serveFiles(*files, flag.Arg(0)))
	}
	o.seconds = time.Duration(*seconds * float64(time.Second))
	o.peers["versitygw"], o.peers["minio"] = *versity, *minio
	var chosen []row
	for name := range strings.SplitSeq(*list, ",") {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			exit(fmt.Errorf("no row %q: have %s", name, strings.Join(names, ", ")))
		}
		chosen = append(chosen, rows[i])
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, o, chosen))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/s3:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, o options, chosen []row) (err error) {
	dir, err := os.MkdirTemp("", "selvage-bench-s3-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var sides []*side
	defer func() {
		for _, s := range sides {
			s.stop()
		}
	}()
	for _, start := range starters {
		s, err := start(ctx, dir, o)
		if err != nil {
			return err
		}
		if s != nil {
			sides = append(sides, s)
		}
	}
	fmt.Printf("| row | side | requests/s | MB/s | p50 ms | p99 ms | processor time per request, µs |\n|---|---|---:|---:|---:|---:|---:|\n")
	for _, r := range chosen {
		if err := measure(ctx, o, r, sides); err != nil {
			return err
		}
	}
	fmt.Printf("\n| side | largest resident memory, MB |\n|---|---:|\n")
	for _, s := range sides {
		fmt.Printf("| %s | %d |\n", s.name, s.peak()>>20)
	}
	return nil
}

func measure(ctx context.Context, o options, r row, sides []*side) error {
	results := make([][]result, len(sides))
	for _, s := range sides {
		if s.has(r) {
			if err := s.prepare(ctx, o, r); err != nil {
				return fmt.Errorf("prepare %s on %s: %w", r.name, s.name, err)
			}
		}
	}
	for range o.rounds {
		for i, s := range sides {
			if !s.has(r) {
				continue
			}
			got, err := s.load(ctx, o, r)
			if err != nil {
				return fmt.Errorf("%s on %s: %w", r.name, s.name, err)
			}
			results[i] = append(results[i], got)
		}
	}
	for i, s := range sides {
		if len(results[i]) == 0 {
			continue
		}
		m := median(results[i])
		mb := "–"
		if r.size > 0 {
			mb = fmt.Sprintf("%.0f", m.rate*float64(r.size)/1e6)
		}
		fmt.Printf("| %s | %s | %.*f | %s | %.2f | %.2f | %.0f |\n", r.name, s.name, digits(m.rate), m.rate, mb, ms(m.p50), ms(m.p99), float64(m.cpu)/1e3)
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// digits is how many are worth showing behind the point.
func digits(rate float64) int {
	if rate < 100 {
		return 1
	}
	return 0
}

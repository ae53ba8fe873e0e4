// Command suites runs tests that others wrote, in cells of ours: the scripts of
// workerd for Durable Objects and queues, and the fixtures of workers-sdk for
// workflows, which expect `wrangler dev` and get `selvage dev`. It fetches nothing:
// whoever runs it has the checkouts, and vitest 3 and undici 7 in the folder
// node_modules of workers-sdk.
//
//	go run ./conformance/suites [-v] [-sdk WORKERS-SDK] [WORKERD]
//
// expected.txt and expected-sdk.txt have the outcome of each test, with the reason
// where it does not pass. An outcome that is not the expected one is an error.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"

	"github.com/selvage-edge/selvage/conformance/verdict"
)

// The expected outcomes.
var (
	//go:embed expected.txt
	expected string
	//go:embed expected-sdk.txt
	expectedSDK string
)

// suite is tests that run together.
type suite interface {
	name() string
	// run runs each test, by its name. An error is one of all of them.
	run(ctx context.Context, dir string, log *slog.Logger) (map[string]verdict.Outcome, error)
}

func main() {
	sdk := flag.String("sdk", "", "a checkout of workers-sdk")
	verbose := flag.Bool("v", false, "print why a test does not pass, and what the Workers log")
	flag.Parse()
	if flag.NArg() > 1 || flag.NArg() == 0 && *sdk == "" {
		fmt.Fprintln(os.Stderr, "usage: suites [-v] [-sdk WORKERS-SDK] [WORKERD]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	log := slog.New(slog.DiscardHandler)
	if *verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	var err error
	if flag.NArg() == 1 {
		err = run(ctx, flag.Arg(0), workerd, verdict.Parse(expected), *verbose, log, os.Stdout)
	}
	if *sdk != "" {
		err = errors.Join(err, run(ctx, *sdk, fixtures, verdict.Parse(expectedSDK), *verbose, log, os.Stdout))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}

// run runs all suites and compares their outcomes with the expected ones.
func run(ctx context.Context, dir string, suites []suite, expected map[string]verdict.Outcome, verbose bool, log *slog.Logger, out io.Writer) error {
	table := verdict.New(expected, verbose, out)
	for _, s := range suites {
		results, err := s.run(ctx, dir, log)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			results = map[string]verdict.Outcome{"(start)": err.Error()}
		}
		for _, name := range sorted(results) {
			table.Add(s.name()+" "+name, results[name])
		}
	}
	return table.End(true)
}

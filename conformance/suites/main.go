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
	"strings"
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
	run(ctx context.Context, dir string, log *slog.Logger) (map[string]outcome, error)
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
		err = run(ctx, flag.Arg(0), workerd, parseExpected(expected), *verbose, log, os.Stdout)
	}
	if *sdk != "" {
		err = errors.Join(err, run(ctx, *sdk, fixtures, parseExpected(expectedSDK), *verbose, log, os.Stdout))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}

// outcome is what became of a test: empty if it passed, otherwise why not.
type outcome = string

// parseExpected reads lines of "script test: reason"; without a reason the test
// passes.
func parseExpected(text string) map[string]outcome {
	list := map[string]outcome{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason, _ := strings.Cut(line, ": ")
		list[name] = reason
	}
	return list
}

// run runs all suites and compares their outcomes with the expected ones.
func run(ctx context.Context, dir string, suites []suite, expected map[string]outcome, verbose bool, log *slog.Logger, out io.Writer) error {
	passed, failed := 0, 0
	var wrong []error
	seen := map[string]bool{}
	for _, s := range suites {
		results, err := s.run(ctx, dir, log)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			results = map[string]outcome{"(start)": err.Error()}
		}
		for _, name := range sorted(results) {
			full := s.name() + " " + name
			seen[full] = true
			reason, known := expected[full]
			got := results[name]
			if got == "" {
				passed++
			} else {
				failed++
			}
			switch {
			case !known:
				wrong = append(wrong, fmt.Errorf("%s: %s; its outcome is not expected", full, orPassed(got)))
			case (got == "") != (reason == ""):
				wrong = append(wrong, fmt.Errorf("%s: %s; expected: %s", full, orPassed(got), orPassed(reason)))
			}
			fmt.Fprintf(out, "%s: %s\n", full, verdict(got, reason))
			if verbose && got != "" {
				fmt.Fprintf(out, "\t%s\n", strings.ReplaceAll(got, "\n", "\n\t"))
			}
		}
	}
	for name := range expected {
		if !seen[name] {
			wrong = append(wrong, fmt.Errorf("%s: there is no such test", name))
		}
	}
	fmt.Fprintf(out, "%d of %d tests passed\n", passed, passed+failed)
	return errors.Join(wrong...)
}

func orPassed(o outcome) string {
	if o == "" {
		return "passed"
	}
	return o
}

// verdict is what the table says of a test: the known reason, where there is one.
func verdict(got, reason outcome) string {
	if got != "" && reason != "" {
		return "does not pass: " + reason
	}
	line, _, _ := strings.Cut(orPassed(got), "\n")
	return line
}

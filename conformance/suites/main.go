// Command suites runs test scripts that others wrote, in cells of ours: those of
// workerd for Durable Objects and queues. It fetches nothing: whoever runs it has
// a checkout.
//
//	go run ./conformance/suites [-v] WORKERD
//
// expected.txt has the outcome of each test, with the reason where it does not
// pass. An outcome that is not the expected one is an error.
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

//go:embed expected.txt
var expected string

func main() {
	verbose := flag.Bool("v", false, "print why a test does not pass, and what the Workers log")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: suites [-v] WORKERD")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	log := slog.New(slog.DiscardHandler)
	if *verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if err := run(ctx, flag.Arg(0), workerd, parseExpected(expected), *verbose, log, os.Stdout); err != nil {
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
				wrong = append(wrong, fmt.Errorf("%s: %s; it is not in expected.txt", full, orPassed(got)))
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

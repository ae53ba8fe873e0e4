// Command s3 runs what others wrote for S3 against a server of ours: Ceph's
// s3-tests, of which it fetches nothing and keeps nothing but the names, and, with
// -large, S3 clients with a file of 5 GiB. It needs Debian's python3-boto3 and what
// requirements.txt of s3-tests names, for -large the programs of clients.go.
//
//	go run ./conformance/s3 [-v] [-only EXPRESSION] S3-TESTS
//	go run ./conformance/s3 -large
//
// expected.txt has the outcome of each test, with the reason where it does not pass.
// An outcome that is not the expected one is an error.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/selvage-edge/selvage/conformance/verdict"
)

//go:embed expected.txt
var expected string

func main() {
	verbose := flag.Bool("v", false, "print why a test does not pass")
	only := flag.String("only", "", "run the tests that match an expression of pytest's -k")
	large := flag.Bool("large", false, "let clients bring a file of 5 GiB and back")
	flag.Parse()
	if flag.NArg() > 1 || (flag.NArg() == 1) == *large {
		fmt.Fprintln(os.Stderr, "usage: s3 [-v] [-only EXPRESSION] S3-TESTS | s3 -large")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *large {
		err = runLarge(ctx, os.Stdout)
	} else {
		err = runTests(ctx, flag.Arg(0), *only, *verbose, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "s3:", err)
		os.Exit(1)
	}
}

// within runs f with a server, in a folder that is removed afterwards.
func within(keys int, f func(dir string, s *server) error) error {
	dir, err := os.MkdirTemp("", "selvage-s3-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := start(dir, keys)
	if err != nil {
		return err
	}
	return errors.Join(f(dir, s), s.stop())
}

func runTests(ctx context.Context, tests, only string, verbose bool, out io.Writer) error {
	tests, err := filepath.Abs(tests)
	if err != nil {
		return err
	}
	return within(3, func(dir string, s *server) error {
		results, err := pytest(ctx, dir, tests, only, s)
		if err != nil {
			return err
		}
		return compare(results, verdict.Parse(expected), only == "", verbose, out)
	})
}

// compare prints the outcomes and says which were not expected. all says that every
// test has run.
func compare(results, expected map[string]verdict.Outcome, all, verbose bool, out io.Writer) error {
	table := verdict.New(expected, verbose, out)
	for _, name := range slices.Sorted(maps.Keys(results)) {
		table.Add(name, results[name])
	}
	return table.End(all)
}

// runLarge lets clients bring a sparse file of 5 GiB and back. restic is not among
// them: it would store the one piece that the file is made of.
func runLarge(ctx context.Context, out io.Writer) error {
	return within(1, func(dir string, s *server) error {
		files := filepath.Join(dir, "files")
		if err := makeFiles(files, map[string]int64{"one": 1, "large": 5 << 30}); err != nil {
			return err
		}
		var errs []error
		for _, c := range clients[:3] {
			own := filepath.Join(dir, c.name)
			if err := os.Mkdir(own, 0o755); err != nil {
				return err
			}
			start := time.Now()
			err := c.do(ctx, trip{own, files, s.endpoint, s.keys[0], c.name + "-large"})
			fmt.Fprintf(out, "%s: %s in %.0f s\n", c.name, map[bool]string{true: "5 GiB there and back", false: "failed"}[err == nil], time.Since(start).Seconds())
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
			}
			if err := os.RemoveAll(own); err != nil {
				return err
			}
		}
		return errors.Join(errs...)
	})
}

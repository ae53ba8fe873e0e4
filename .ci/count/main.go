// Command count reads `go test -json` from stdin, prints what failed or was
// skipped, a line for each package and what took longest, and ends with its
// arguments, a line each, and the counts. It exits with 1 when anything failed.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// slowest is how many tests and packages are named as having taken longest.
const slowest = 10

func main() {
	failed, err := count(os.Stdin, os.Stdout, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "count: read test events:", err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

func count(in io.Reader, out io.Writer, notes []string) (failed int, err error) {
	passed, skipped := 0, 0
	output := map[string]*strings.Builder{} // by package and test
	failing := map[string]bool{}            // packages with a failed test
	tests, packages := map[string]float64{}, map[string]float64{}
	for decoder := json.NewDecoder(in); ; {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return failed, err
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			if output[key] == nil {
				output[key] = &strings.Builder{}
			}
			output[key].WriteString(e.Output)
			continue
		case "build-output":
			fmt.Fprint(out, e.Output)
			continue
		case "pass":
			if e.Test == "" {
				fmt.Fprintf(out, "ok    %s %.1fs\n", e.Package, e.Elapsed)
			} else {
				passed++
			}
		case "fail":
			switch {
			case e.Test != "":
				failed++
				failing[e.Package] = true
			case !failing[e.Package]: // it did not compile, or broke outside of a test
				failed++
				fallthrough
			default:
				fmt.Fprintf(out, "FAIL  %s\n", e.Package)
			}
			if said := output[key]; said != nil {
				fmt.Fprintln(out, said)
			}
		case "skip":
			if e.Test != "" {
				skipped++
				fmt.Fprintf(out, "skip  %s\n%s", key, output[key])
			}
		default:
			continue
		}
		delete(output, key)
		if e.Test == "" {
			packages[e.Package] = max(packages[e.Package], e.Elapsed)
			delete(failing, e.Package) // with -race it comes once more
		} else if !strings.Contains(e.Test, "/") {
			tests[key] = max(tests[key], e.Elapsed)
		}
	}
	longest(out, "tests", tests)
	longest(out, "packages", packages)
	fmt.Fprintln(out)
	for _, n := range notes {
		fmt.Fprintln(out, n)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	return failed, nil
}

// longest prints the names that took longest, with their seconds.
func longest(out io.Writer, what string, took map[string]float64) {
	names := slices.SortedFunc(maps.Keys(took), func(a, b string) int {
		return cmp.Or(cmp.Compare(took[b], took[a]), strings.Compare(a, b))
	})
	fmt.Fprintf(out, "\nslowest %s\n", what)
	for _, n := range names[:min(slowest, len(names))] {
		fmt.Fprintf(out, "%7.1fs %s\n", took[n], n)
	}
}

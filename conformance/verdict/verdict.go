// Package verdict compares what became of tests that nobody here wrote with what is
// expected of them.
package verdict

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Outcome is what became of a test: empty if it passed, otherwise why not.
type Outcome = string

// Parse reads lines of "test: reason"; without a reason the test passes.
func Parse(text string) map[string]Outcome {
	list := map[string]Outcome{}
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

// Table prints outcomes as they come and collects those that are not expected.
type Table struct {
	expected map[string]Outcome
	verbose  bool
	out      io.Writer
	seen     map[string]bool
	passed   int
	wrong    []error
}

// New begins a table. verbose prints what tests say that do not pass.
func New(expected map[string]Outcome, verbose bool, out io.Writer) *Table {
	return &Table{expected: expected, verbose: verbose, out: out, seen: map[string]bool{}}
}

// Add prints the outcome of a test.
func (t *Table) Add(name string, got Outcome) {
	t.seen[name] = true
	if got == "" {
		t.passed++
	}
	reason, known := t.expected[name]
	switch {
	case !known:
		t.wrong = append(t.wrong, fmt.Errorf("%s: %s; its outcome is not expected", name, orPassed(got)))
	case (got == "") != (reason == ""):
		t.wrong = append(t.wrong, fmt.Errorf("%s: %s; expected: %s", name, orPassed(got), orPassed(reason)))
	}
	fmt.Fprintf(t.out, "%s: %s\n", name, row(got, reason))
	if t.verbose && got != "" {
		fmt.Fprintf(t.out, "\t%s\n", strings.ReplaceAll(got, "\n", "\n\t"))
	}
}

// End prints the counts and returns what was not expected. all says that every test
// has run, so that one without an outcome is gone.
func (t *Table) End(all bool) error {
	for _, name := range slices.Sorted(maps.Keys(t.expected)) {
		if all && !t.seen[name] {
			t.wrong = append(t.wrong, fmt.Errorf("%s: there is no such test", name))
		}
	}
	fmt.Fprintf(t.out, "%d of %d tests passed\n", t.passed, len(t.seen))
	return errors.Join(t.wrong...)
}

func orPassed(o Outcome) string {
	if o == "" {
		return "passed"
	}
	return o
}

// row is what the table says of a test: the known reason, where there is one.
func row(got, reason Outcome) string {
	if got != "" && reason != "" {
		return "does not pass: " + reason
	}
	line, _, _ := strings.Cut(orPassed(got), "\n")
	return line
}

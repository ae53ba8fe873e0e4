package manifest

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong, or worth knowing, about a manifest. It
// says where it is, what was seen and what would be right.
type Problem struct {
	// File is the path as it should be shown: relative to the working
	// directory of whoever called Load where the path was given so.
	File string
	// Line and Column count from 1; 0 means the whole file.
	Line, Column int
	// Key is the dotted path of the key: "env.staging.kv_namespaces[0].id".
	Key string
	// Value is what was seen, as it would be written in JSON and shortened;
	// empty where the value does not matter.
	Value string
	// Expected is what would be right: "a string", `one of "none", "404-page"`.
	Expected string
	// Message says what is the matter, where Expected does not say it all, and
	// what to do about it.
	Message string
}

// Error is "file:line:column: key: message: expected …, got …".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	if p.Message != "" {
		b.WriteString(": " + p.Message)
	}
	if p.Expected != "" {
		b.WriteString(": expected " + p.Expected)
		if p.Value != "" {
			b.WriteString(", got " + p.Value)
		}
	}
	return b.String()
}

// Warning is a Problem that does not keep the Worker from running.
type Warning = Problem

// Problems is the error of a manifest that cannot be used: all that is wrong
// with it, in the order of the file.
type Problems []Problem

// Error is one problem to a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// report collects the problems and warnings of one file.
type report struct {
	file     string
	problems Problems
	warnings []Warning
}

func (r *report) at(n *node, key string) Problem {
	return Problem{File: r.file, Line: n.line, Column: n.col, Key: key}
}

// errorf reports that the value n of key is wrong.
func (r *report) errorf(n *node, key, format string, args ...any) {
	p := r.at(n, key)
	p.Message = fmt.Sprintf(format, args...)
	r.problems = append(r.problems, p)
}

// mismatch reports that the value n of key is not what was expected.
func (r *report) mismatch(n *node, key, expected string) {
	p := r.at(n, key)
	p.Expected, p.Value = expected, n.show()
	r.problems = append(r.problems, p)
}

// warnf reports something about the key at n that does no harm by itself.
func (r *report) warnf(n *node, key, format string, args ...any) {
	p := r.at(n, key)
	p.Message = fmt.Sprintf(format, args...)
	r.warnings = append(r.warnings, p)
}

package bundle

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/selvage-edge/selvage/project/nodecompat"
)

// Problem is something esbuild, or one of our rules, has to say about a file.
type Problem struct {
	// File is relative to the project; empty when no file is to blame.
	File string
	// Line and Column count from 1; 0 when unknown.
	Line, Column int
	// Source is the line of code.
	Source string
	Text   string
	// Notes help to mend it.
	Notes []string
}

// String is "file:line:column: text", then the line of code with a caret, then
// the notes.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	if p.Source != "" {
		// Tabs before the caret keep it under the character it points at.
		before := p.Source[:min(max(p.Column-1, 0), len(p.Source))]
		indent := strings.Map(func(r rune) rune {
			if r == '\t' {
				return r
			}
			return ' '
		}, before)
		fmt.Fprintf(&b, "\n    %s\n    %s^", p.Source, indent)
	}
	for _, n := range p.Notes {
		b.WriteString("\n  " + n)
	}
	return b.String()
}

// Error is a build that failed.
type Error struct {
	// Problems has one at least.
	Problems []Problem
}

// Error has the problems one after the other.
func (e *Error) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n")
}

var unresolved = regexp.MustCompile(`^Could not resolve "([^"]+)"`)

// failure makes an Error of esbuild's messages.
func (b *Bundler) failure(messages []api.Message) *Error {
	e := &Error{Problems: b.problems(messages)}
	for i := range e.Problems {
		p := &e.Problems[i]
		m := unresolved.FindStringSubmatch(p.Text)
		if m == nil {
			continue
		}
		name, ok := nodecompat.Builtin(m[1])
		switch {
		case ok && b.node.mode < nodecompat.V1:
			p.Notes = []string{fmt.Sprintf("%q is built into Node.js: add the compatibility flag \"nodejs_compat\" to use %s", m[1], name)}
		case ok && b.node.mode == nodecompat.V1:
			p.Notes = []string{fmt.Sprintf("%q is built into Node.js: import %q, or set compatibility_date to 2024-09-23 or later", m[1], name)}
		case ok:
			p.Notes = []string{fmt.Sprintf("%q is built into Node.js and missing in Workers", m[1])}
		}
	}
	return e
}

func (b *Bundler) problems(messages []api.Message) []Problem {
	var ps []Problem
	for _, m := range messages {
		p := Problem{Text: m.Text}
		if l := m.Location; l != nil {
			p.File, p.Line, p.Column, p.Source = l.File, l.Line, l.Column+1, l.LineText
		}
		for _, n := range m.Notes {
			p.Notes = append(p.Notes, n.Text)
		}
		ps = append(ps, p)
	}
	return ps
}

package rules

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error says what is wrong with an expression, and where.
type Error struct {
	// Source is the whole expression.
	Source string
	// Offset and Length are the bytes of Source that are wrong.
	Offset, Length int
	// Message says what is wrong and what would be right, without the position.
	Message string
}

// Error is "line:column: message", then the line and carets under what is
// wrong. Lines and columns count from 1, columns in characters.
func (e *Error) Error() string {
	line, column, text := e.position()
	width := max(utf8.RuneCountInString(e.Source[e.Offset:min(e.Offset+e.Length, len(e.Source))]), 1)
	width = min(width, max(utf8.RuneCountInString(text)-column+1, 1))
	indent := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string([]rune(text)[:column-1]))
	return fmt.Sprintf("%d:%d: %s\n    %s\n    %s%s", line, column, e.Message, text, indent, strings.Repeat("^", width))
}

// position returns line, column and the text of that line.
func (e *Error) position() (line, column int, text string) {
	before := e.Source[:e.Offset]
	start := strings.LastIndexByte(before, '\n') + 1
	end := len(e.Source)
	if i := strings.IndexByte(e.Source[e.Offset:], '\n'); i >= 0 {
		end = e.Offset + i
	}
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[start:]), strings.TrimSuffix(e.Source[start:end], "\r")
}

// span is a part of the source.
type span struct{ from, to int }

func (s span) where() span { return s }

// between spans from a to b.
func between(a, b span) span { return span{a.from, b.to} }

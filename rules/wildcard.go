package rules

import (
	"errors"
	"fmt"
	"strings"
)

// wildcard is a pattern in which * stands for any bytes.
//
// Source: https://developers.cloudflare.com/ruleset-engine/rules-language/operators/#wildcard-matching
type wildcard struct {
	parts []string // between the stars
	fold  bool     // ASCII letters of both cases are the same
}

func newWildcard(pattern string, fold bool) (*wildcard, error) {
	w := &wildcard{fold: fold}
	var part strings.Builder
	star := false
	for i := 0; i < len(pattern); i++ {
		ch := pattern[i]
		switch {
		case ch == '*' && star:
			return nil, errors.New("two stars in a row are not allowed in a wildcard")
		case ch == '*':
			w.parts = append(w.parts, part.String())
			part.Reset()
			star = true
			continue
		case ch == '\\':
			if i++; i == len(pattern) || pattern[i] != '*' && pattern[i] != '\\' {
				return nil, fmt.Errorf(`in a wildcard a backslash stands before * or \ only`)
			}
			ch = pattern[i]
		}
		star = false
		if fold {
			ch = lowerByte(ch)
		}
		part.WriteByte(ch)
	}
	w.parts = append(w.parts, part.String())
	return w, nil
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

func (w *wildcard) match(s string) bool { return w.captures(s, nil) }

// captures also calls f, if it is not nil, with what each star stands for, which
// is as short as it can be. It may call f before it finds that s does not match.
func (w *wildcard) captures(s string, f func(from, to int)) bool {
	first, end := w.parts[0], len(w.parts)-1
	if !w.begins(s, first) {
		return false
	}
	if end == 0 {
		return len(s) == len(first)
	}
	at := len(first)
	for _, part := range w.parts[1:end] {
		i := w.find(s[at:], part)
		if i < 0 {
			return false
		}
		if f != nil {
			f(at, at+i)
		}
		at += i + len(part)
	}
	tail := len(s) - len(w.parts[end])
	if tail < at || !w.begins(s[tail:], w.parts[end]) {
		return false
	}
	if f != nil {
		f(at, tail)
	}
	return true
}

func (w *wildcard) begins(s, part string) bool {
	if !w.fold {
		return strings.HasPrefix(s, part)
	}
	if len(s) < len(part) {
		return false
	}
	for i := range len(part) {
		if lowerByte(s[i]) != part[i] {
			return false
		}
	}
	return true
}

func (w *wildcard) find(s, part string) int {
	if !w.fold {
		return strings.Index(s, part)
	}
	for i := 0; i+len(part) <= len(s); i++ {
		if w.begins(s[i:], part) {
			return i
		}
	}
	return -1
}

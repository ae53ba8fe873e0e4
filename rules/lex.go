package rules

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scanner reads the source from left to right. What a character means depends
// on where it stands, so there are no tokens: the parser asks for what may come.
type scanner struct {
	source string
	at     int
}

func (s *scanner) fail(where span, format string, args ...any) *Error {
	return &Error{Source: s.source, Offset: where.from, Length: where.to - where.from, Message: fmt.Sprintf(format, args...)}
}

func (s *scanner) rest() string { return s.source[s.at:] }

func (s *scanner) space() {
	for s.at < len(s.source) && strings.IndexByte(" \t\r\n", s.source[s.at]) >= 0 {
		s.at++
	}
}

// take reads text if it is next.
func (s *scanner) take(text string) bool {
	if !strings.HasPrefix(s.rest(), text) {
		return false
	}
	s.at += len(text)
	return true
}

// here is the next character, for errors.
func (s *scanner) here() span {
	_, n := utf8.DecodeRuneInString(s.rest())
	return span{s.at, s.at + n}
}

// found describes the next character.
func (s *scanner) found() string {
	if s.at == len(s.source) {
		return "the expression ends"
	}
	r, _ := utf8.DecodeRuneInString(s.rest())
	return "found " + strconv.QuoteRune(r)
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isHex(c byte) bool    { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// name reads the name of a field or function, or an English operator; empty if
// none is next.
func (s *scanner) name() (string, span) {
	from := s.at
	for s.at < len(s.source) {
		c := s.source[s.at]
		if !isLetter(c) && (s.at == from || !isDigit(c) && c != '.') {
			break
		}
		s.at++
	}
	return s.source[from:s.at], span{from, s.at}
}

// peek is the name that is next, without reading it.
func (s *scanner) peek() string {
	t := *s
	name, _ := t.name()
	return name
}

// isString reports whether a string in quotes is next.
func (s *scanner) isString() bool {
	return strings.HasPrefix(s.rest(), `"`) || strings.HasPrefix(s.rest(), `r"`) || strings.HasPrefix(s.rest(), `r#`)
}

// text reads a string in quotes. In a regular expression a backslash belongs to
// the expression, unless it is before a quote.
func (s *scanner) text(regex bool) (*literal, error) {
	from := s.at
	kind, value, err := quoted, "", error(nil)
	if s.take("r") {
		kind = raw
		value, err = s.raw(from)
	} else if s.take(`"`); regex {
		value, err = s.regex(from)
	} else {
		value, err = s.quoted(from)
	}
	if err != nil {
		return nil, err
	}
	return &literal{span: span{from, s.at}, kind: kind, text: s.source[from:s.at], value: value}, nil
}

func (s *scanner) open(from int) *Error {
	return s.fail(span{from, len(s.source)}, "the string has no closing quote")
}

// raw reads on after the r of r"…" or r#"…"#.
func (s *scanner) raw(from int) (string, error) {
	hashes := 0
	for s.take("#") {
		hashes++
	}
	if hashes > 255 {
		return "", s.fail(span{from, s.at}, "a raw string has at most 255 hash signs")
	}
	if !s.take(`"`) {
		return "", s.fail(s.here(), `a raw string begins with r" or r#"; %s`, s.found())
	}
	end := strings.Index(s.rest(), `"`+strings.Repeat("#", hashes))
	if end < 0 {
		return "", s.open(from)
	}
	value := s.rest()[:end]
	s.at += end + 1 + hashes
	return value, nil
}

// quoted reads on after the opening quote.
func (s *scanner) quoted(from int) (string, error) {
	var b strings.Builder
	for s.at < len(s.source) {
		c := s.source[s.at]
		s.at++
		switch c {
		case '"':
			return b.String(), nil
		case '\\':
			c, err := s.escape(from)
			if err != nil {
				return "", err
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return "", s.open(from)
}

// escape reads what follows a backslash.
func (s *scanner) escape(from int) (byte, error) {
	if s.at == len(s.source) {
		return 0, s.open(from)
	}
	digits, base := s.rest(), 8
	switch c := s.source[s.at]; {
	case c == '"' || c == '\\':
		s.at++
		return c, nil
	case c == 'x':
		digits, base = digits[1:], 16
		s.at++
	case c < '0' || c > '7':
		return 0, s.fail(span{s.at - 1, s.here().to}, `there is no such escape: use \", \\, \xHH or \OOO, or a raw string such as r"…"`)
	}
	n := map[int]int{8: 3, 16: 2}[base]
	if len(digits) < n {
		return 0, s.open(from)
	}
	v, err := strconv.ParseUint(digits[:n], base, 8)
	if err != nil || digits[0] == '+' {
		return 0, s.fail(span{s.at, s.at + n}, "%q is not a byte in base %d", digits[:n], base)
	}
	s.at += n
	return byte(v), nil
}

// regex reads on after the opening quote. A quote within […] does not end it.
func (s *scanner) regex(from int) (string, error) {
	var b strings.Builder
	class := false
	for s.at < len(s.source) {
		c := s.source[s.at]
		s.at++
		switch {
		case c == '\\' && s.at < len(s.source):
			if class || s.source[s.at] != '"' {
				b.WriteByte(c)
			}
			b.WriteByte(s.source[s.at])
			s.at++
			continue
		case c == '"' && !class:
			return b.String(), nil
		case c == '[':
			class = true
		case c == ']':
			class = false
		}
		b.WriteByte(c)
	}
	return "", s.open(from)
}

// word reads a number, address, network, or bytes such as 01:2e:f3.
func (s *scanner) word() (*literal, error) {
	from := s.at
	for s.at < len(s.source) {
		c := s.source[s.at]
		if c == '.' && strings.HasPrefix(s.rest(), "..") {
			break
		}
		if !isLetter(c) && !isDigit(c) && strings.IndexByte(":./-", c) < 0 {
			break
		}
		s.at++
	}
	if s.at == from {
		return nil, s.fail(s.here(), "expected a value; %s", s.found())
	}
	return &literal{span: span{from, s.at}, kind: word, text: s.source[from:s.at]}, nil
}

// isWord reports whether a value without quotes is next where a name could be,
// too.
func (s *scanner) isWord() bool {
	r := s.rest()
	if r == "" {
		return false
	}
	return isDigit(r[0]) || r[0] == '-' || r[0] == ':' || len(r) > 2 && isHex(r[0]) && isHex(r[1]) && (r[2] == ':' || r[2] == '-')
}

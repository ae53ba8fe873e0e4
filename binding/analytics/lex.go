package analytics

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// InputError is a query that cannot be run, in the words of Cloudflare's API.
type InputError struct{ text string }

// Error implements error.
func (e *InputError) Error() string { return "Input was invalid: " + e.text }

func invalid(format string, args ...any) error { return &InputError{fmt.Sprintf(format, args...)} }

// tokenKind says what a token is.
type tokenKind int

const (
	tokenEnd    tokenKind = iota
	tokenWord             // an identifier or a keyword
	tokenQuoted           // an identifier in quotes
	tokenNumber
	tokenString
	tokenSign // an operator or a bracket
)

// token is a piece of a query: text is its meaning, from and to where it is.
type token struct {
	kind     tokenKind
	text     string
	from, to int
}

// signs are the operators and brackets, longer ones first.
var signs = []string{"<=", ">=", "<>", "!=", "==", "(", ")", ",", "+", "-", "*", "/", "%", "=", "<", ">", ";", "."}

// maxQuery is the length of a query, in bytes.
const maxQuery = 64 << 10

// lex cuts a query into tokens; the last one is of kind tokenEnd.
func lex(text string) ([]token, error) {
	if len(text) > maxQuery {
		return nil, invalid("the query has %d bytes; at most %d are allowed", len(text), maxQuery)
	}
	if !utf8.ValidString(text) {
		return nil, invalid("the query is not valid UTF-8")
	}
	var list []token
	for at := 0; ; {
		rest := text[at:]
		skipped, err := space(rest)
		if err != nil {
			return nil, err
		}
		at += skipped
		rest = text[at:]
		if rest == "" {
			return append(list, token{kind: tokenEnd, from: at, to: at}), nil
		}
		t, n, err := next(rest)
		if err != nil {
			return nil, err
		}
		t.from, t.to = at, at+n
		list = append(list, t)
		at += n
	}
}

// space is the length of the white space and comments that text begins with.
func space(text string) (int, error) {
	n := 0
	for {
		rest := text[n:]
		switch {
		case rest != "" && strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			n++
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				return len(text), nil
			}
			n += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				return 0, invalid("a comment is not closed")
			}
			n += end + 2
		default:
			return n, nil
		}
	}
}

// next reads the token that text begins with.
func next(text string) (t token, length int, err error) {
	c := text[0]
	switch {
	case letter(c):
		n := 1
		for n < len(text) && (letter(text[n]) || digit(text[n])) {
			n++
		}
		return token{kind: tokenWord, text: text[:n]}, n, nil
	case digit(c) || c == '.' && len(text) > 1 && digit(text[1]):
		n := number(text)
		if n < len(text) && letter(text[n]) {
			return t, 0, invalid("unexpected %q after the number %s", text[n], text[:n])
		}
		return token{kind: tokenNumber, text: text[:n]}, n, nil
	case c == '\'':
		return quoted(text, tokenString)
	case c == '"' || c == '`':
		return quoted(text, tokenQuoted)
	}
	for _, s := range signs {
		if strings.HasPrefix(text, s) {
			return token{kind: tokenSign, text: s}, len(s), nil
		}
	}
	r, _ := utf8.DecodeRuneInString(text)
	return t, 0, invalid("unexpected character %q", r)
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// number is the length of the number that text begins with.
func number(text string) int {
	n := 0
	digits := func() {
		for n < len(text) && digit(text[n]) {
			n++
		}
	}
	digits()
	if n < len(text) && text[n] == '.' {
		n++
		digits()
	}
	if n < len(text) && (text[n] == 'e' || text[n] == 'E') {
		before := n
		n++
		if n < len(text) && (text[n] == '+' || text[n] == '-') {
			n++
		}
		first := n
		if digits(); n == first {
			return before
		}
	}
	return n
}

// escapes are what may follow a backslash within quotes.
var escapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', '0': 0, '\\': '\\', '\'': '\'', '"': '"', '`': '`'}

// quoted reads a string or an identifier in quotes. A quote within is doubled, or
// follows a backslash; a backslash before anything that is no escape stays, as in
// the pattern of LIKE.
func quoted(text string, kind tokenKind) (t token, length int, err error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch {
		case c == text[0] && i+1 < len(text) && text[i+1] == c:
			i++
		case c == text[0]:
			return token{kind: kind, text: b.String()}, i + 1, nil
		case c == '\\' && i+1 < len(text):
			if e, ok := escapes[text[i+1]]; ok {
				c = e
				i++
			}
		}
		b.WriteByte(c)
	}
	return t, 0, invalid("a %c is not closed", text[0])
}

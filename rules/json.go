package rules

import (
	"encoding/json"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// key is a step into a JSON document: the name of a member, or a position.
type key struct {
	name     string
	index    int
	position bool
}

// lookup finds the value that keys lead to, as it is written. Of members with
// the same name the last counts, as for JSON.parse. The document must be valid
// as a whole.
func lookup(c *Context, document string, keys []key) (string, bool) {
	if !c.validJSON(document) {
		return "", false
	}
	v := strings.Trim(document, " \t\r\n")
	for _, k := range keys {
		found := false
		if v, found = step(c, v, k); !found {
			return "", false
		}
	}
	return v, true
}

// validJSON checks a document once, however many rules look into it.
func (c *Context) validJSON(document string) bool {
	if c.document == "" || unsafe.StringData(c.document) != unsafe.StringData(document) || len(c.document) != len(document) {
		c.document, c.documentValid = document, json.Valid(view(document))
	}
	return c.documentValid
}

// step looks into v, a valid value without space around it.
func step(c *Context, v string, k key) (result string, found bool) {
	if k.position && v[0] != '[' || !k.position && v[0] != '{' {
		return "", false
	}
	rest := space(v[1:])
	for i := 0; rest[0] != ']' && rest[0] != '}'; i++ {
		if rest[0] == ',' {
			rest = space(rest[1:])
		}
		matches := k.position && i == k.index
		if !k.position {
			name := rest[:valueLength(rest)]
			matches = unquote(c, name) == k.name
			rest = space(space(rest[len(name):])[1:]) // after the colon
		}
		n := valueLength(rest)
		if matches {
			result, found = rest[:n], true
		}
		rest = space(rest[n:])
	}
	return result, found
}

func space(s string) string { return strings.TrimLeft(s, " \t\r\n") }

// valueLength is the length of the value that s begins with.
func valueLength(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			for i++; s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(s)
}

// unquote returns what a JSON string says.
func unquote(c *Context, s string) string {
	s = s[1 : len(s)-1]
	first := strings.IndexByte(s, '\\')
	if first < 0 {
		return s
	}
	b := c.bytes.take(len(s))[:0]
	b = append(b, s[:first]...)
	for i := first; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r := hexValue(s[i+1 : i+5])
			i += 4
			if utf16.IsSurrogate(r) {
				pair := utf8.RuneError
				if strings.HasPrefix(s[i+1:], `\u`) {
					pair = utf16.DecodeRune(r, hexValue(s[i+3:i+7]))
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, s[i])
		}
	}
	return text(b)
}

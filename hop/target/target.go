// Package target is the path and query of a request as they stand on the wire.
//
// The URL standard, and with it every browser and workerd, lets a percent sign
// stand alone ("/sale-100%"); package url does not. A [url.URL] of ours then has
// the path as written in RawPath, and what can be decoded of it in Path. To get
// the path as written, call [Path], never URL.EscapedPath.
package target

import (
	"net/url"
	"strings"
)

// Path is the path of u as it is written. It begins with a slash, except for
// that of "OPTIONS *", and has neither spaces nor control characters.
func Path(u *url.URL) string {
	if raw := u.RawPath; strings.HasPrefix(raw, "/") && printable(raw) && Decode(raw) == u.Path {
		return raw
	}
	if p := u.EscapedPath(); strings.HasPrefix(p, "/") || p == "*" {
		return p
	} else {
		return "/" + p
	}
}

// URI is the path of u with its query, as it goes on a request line.
func URI(u *url.URL) string {
	p := Path(u)
	if u.RawQuery == "" && !u.ForceQuery {
		return p
	}
	return p + "?" + Query(u)
}

// Query is the query of u without what would end a request line: HTTP/2 can
// carry spaces.
func Query(u *url.URL) string {
	if printable(u.RawQuery) {
		return u.RawQuery
	}
	var b strings.Builder
	for i := range len(u.RawQuery) {
		if c := u.RawQuery[i]; c <= ' ' || c == 0x7f {
			Escape(&b, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Set makes path, as it is written, the path of u.
func Set(u *url.URL, path string) {
	u.Path, u.RawPath = Decode(path), ""
	if (&url.URL{Path: u.Path}).EscapedPath() != path {
		u.RawPath = path
	}
}

// Parse takes a request target apart: origin form, or absolute form. It fails
// for nothing.
func Parse(s string) *url.URL {
	u := new(url.URL)
	if scheme, rest, ok := strings.Cut(s, "://"); ok && !strings.HasPrefix(s, "/") {
		u.Scheme = strings.ToLower(scheme)
		end := len(rest)
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			end = i
		}
		u.Host, s = rest[:end], rest[end:]
	}
	path, query, asked := strings.Cut(s, "?")
	u.RawQuery, u.ForceQuery = query, asked && query == ""
	Set(u, path)
	return u
}

// Decode undoes the percent-encoding of s, and leaves what is none.
func Decode(s string) string {
	first := strings.IndexByte(s, '%')
	if first < 0 {
		return s
	}
	b := append(make([]byte, 0, len(s)), s[:first]...)
	for i := first; i < len(s); i++ {
		if c, ok := Escaped(s[i:]); ok {
			b = append(b, c)
			i += 2
		} else {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// Escaped returns the byte that the percent-encoded one at the beginning of s
// stands for.
func Escaped(s string) (c byte, ok bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	hi, lo := digit(s[1]), digit(s[2])
	return hi<<4 | lo, hi < 16 && lo < 16
}

// Escape writes c percent-encoded.
func Escape(b *strings.Builder, c byte) {
	const hex = "0123456789ABCDEF"
	b.Write([]byte{'%', hex[c>>4], hex[c&15]})
}

// digit is the value of a hexadecimal digit, or 16.
func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

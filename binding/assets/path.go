package assets

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/selvage-edge/selvage/hop/target"
)

// pathname is the path of the request's URL as JavaScript's URL.pathname has
// it: percent-encoded as it came, without dot segments or backslashes.
func pathname(r *http.Request) string {
	return normalizePath(target.Path(r.URL))
}

// normalizePath does to a path what the URL standard's parser does.
func normalizePath(p string) string {
	if p == "" {
		return "/"
	}
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\':
			b.WriteByte('/')
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>?^`{}", c) >= 0:
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		default:
			b.WriteByte(c)
		}
	}
	p = b.String()
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	if !strings.Contains(p, "/.") && !strings.Contains(p, "/%2") {
		return p
	}
	segments := strings.Split(p[1:], "/")
	kept := make([]string, 0, len(segments))
	for i, s := range segments {
		last := i == len(segments)-1
		switch strings.ToLower(s) {
		case "..", ".%2e", "%2e.", "%2e%2e":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		case ".", "%2e":
		default:
			kept = append(kept, s)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}

// decodePath gives the path of a file: each segment decoded where it can be,
// runs of slashes made one so that no path can pass for "//host".
func decodePath(p string) string {
	if strings.IndexByte(p, '%') >= 0 {
		segments := strings.Split(p, "/")
		for i, s := range segments {
			// What is not UTF-8 stays as it was, as decodeURIComponent has it.
			if d, err := url.PathUnescape(s); err == nil && strings.ToValidUTF8(d, "") == d {
				segments[i] = d
			}
		}
		p = strings.Join(segments, "/")
	}
	return oneSlash(p)
}

// oneSlash replaces runs of slashes by one.
func oneSlash(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}

// encodePath is the one spelling under which a file is served: every segment
// as encodeURIComponent writes it.
func encodePath(p string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		c := p[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("/-_.!~*'()", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// inBase reports whether the base path or something below it is meant, and
// strips the base.
func (h *Handler) inBase(decoded string) (string, bool) {
	if h.base == "/" {
		return decoded, true
	}
	if decoded == h.base[:len(h.base)-1] {
		return "/", true
	}
	if rest, ok := strings.CutPrefix(decoded, h.base); ok {
		return "/" + rest, true
	}
	return "", false
}

// public is the URL's path for a path within the base.
func (h *Handler) public(p string) string { return h.base + strings.TrimPrefix(p, "/") }

package edge

import (
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/hop/target"
)

// normalize rewrites the target of r once, before anything looks at it: stages,
// routes, assets and the Worker see the same path, and what a Worker's
// new URL(request.url) makes of it is that path again.
//
// A fragment, which no client ought to send, is dropped, and the query is
// encoded as the URL standard has it; both are what wrangler dev does.
//
// Source: https://developers.cloudflare.com/rules/normalization/how-it-works/
func (e *Edge) normalize(r *http.Request, host string) {
	u := r.URL
	if u.Path == "*" {
		return
	}
	was, query := target.Path(u), u.RawQuery
	path, _, cut := strings.Cut(was, "#")
	if cut {
		query, u.ForceQuery = "", false
	}
	query, _, _ = strings.Cut(query, "#")
	path = normalPath(e.normalization(host), path)
	query = encodeQuery(query)
	if path == was && query == u.RawQuery && u.Host == "" {
		return
	}
	target.Set(u, path)
	u.Host, u.RawQuery = "", query
	r.RequestURI = target.URI(u)
}

// normalization is that of host: its zone's, or else the server's.
func (e *Edge) normalization(host string) config.Normalization {
	if n, ok := e.table.Load().normalization(host); ok {
		return n
	}
	return e.options.Normalization
}

// normalPath is the path p under n.
//
// Without normalization the path is still read as the URL standard reads it: a
// Worker will, and must not see another one than its route.
func normalPath(n config.Normalization, p string) string {
	if settled(p) {
		return p
	}
	off := n.Scope == config.NormalizeNothing
	if off || n.Type != config.NormalizeRFC3986 {
		p = strings.ReplaceAll(p, `\`, "/")
	}
	switch {
	case off:
		p = encodePath(p)
	case n.Type == config.NormalizeRFC3986:
		p = recode(p)
	default:
		p = recode(mergeSlashes(p))
	}
	return removeDots(p)
}

// settled reports whether no kind of normalization changes p.
func settled(p string) bool {
	for i := range len(p) {
		c := p[i]
		if !plain[c] || (c == '/' || c == '.') && i > 0 && p[i-1] == '/' {
			return false
		}
	}
	return true
}

// plain are the characters that stand in a path for themselves.
var plain = func() (t [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/[]@!$&'()*+,;=" {
		t[c] = true
	}
	return t
}()

// recode decodes unreserved characters, writes escapes in upper case and
// encodes literal bytes. A malformed escape stays, unless what was decoded
// behind it completes it: "%%36%31" must not come out as "%61", which the next
// reader would decode.
func recode(p string) string {
	b := make([]byte, 0, len(p))
	for i := range len(p) {
		c := p[i]
		if !plain[c] && c != '%' {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
			continue
		}
		b = append(b, c)
		for len(b) >= 3 {
			tail := b[len(b)-3:]
			v, ok := target.Escaped(string(tail))
			if !ok {
				break
			}
			if !unreserved(v) {
				tail[1], tail[2] = upperHex[v>>4], upperHex[v&15]
				break
			}
			b = append(b[:len(b)-3], v)
		}
	}
	return string(b)
}

const upperHex = "0123456789ABCDEF"

// unreserved characters mean the same percent-encoded or not (RFC 3986, 2.3).
func unreserved(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func mergeSlashes(p string) string {
	var b strings.Builder
	for i := range len(p) {
		if p[i] != '/' || i == 0 || p[i-1] != '/' {
			b.WriteByte(p[i])
		}
	}
	return b.String()
}

// encodePath and encodeQuery encode what the URL standard's parser encodes.
func encodePath(p string) string  { return encode(p, "\"#<>?^`{}") }
func encodeQuery(q string) string { return encode(q, `"#<>'`) }

func encode(s, set string) string {
	encoded := func(c byte) bool { return c <= ' ' || c >= 0x7f || strings.IndexByte(set, c) >= 0 }
	for i := range len(s) {
		if !encoded(s[i]) {
			continue
		}
		var b strings.Builder
		for j := range len(s) {
			if c := s[j]; encoded(c) {
				target.Escape(&b, c)
			} else {
				b.WriteByte(c)
			}
		}
		return b.String()
	}
	return s
}

// removeDots removes the segments "." and "..", encoded ones too.
func removeDots(p string) string {
	if !strings.Contains(p, "/.") && !strings.Contains(p, "/%2") {
		return p
	}
	segments := strings.Split(strings.TrimPrefix(p, "/"), "/")
	kept := segments[:0]
	for i, s := range segments {
		switch strings.ReplaceAll(strings.ToLower(s), "%2e", ".") {
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		case ".":
		default:
			kept = append(kept, s)
			continue
		}
		if i == len(segments)-1 {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}

package sigv4

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/selvage-edge/selvage/hop/target"
)

// parameter is one of the query, decoded.
type parameter struct{ name, value string }

// parameters takes a query apart as [net/url.ParseQuery] does, except that no
// parameter is dropped: what cannot be decoded stands for itself.
func parameters(query string) (list []parameter) {
	for field := range strings.SplitSeq(query, "&") {
		if field == "" {
			continue
		}
		name, value, _ := strings.Cut(field, "=")
		list = append(list, parameter{unescape(name), unescape(value)})
	}
	return list
}

func unescape(s string) string { return target.Decode(strings.ReplaceAll(s, "+", " ")) }

// canonicalRequest is the text that is signed. path is decoded.
func canonicalRequest(r *http.Request, path string, query []parameter, c *claim, payload string) (string, error) {
	headers, err := canonicalHeaders(r, c)
	if err != nil {
		return "", err
	}
	lines := []string{r.Method, escape(cmp.Or(path, "/"), true), canonicalQuery(query), headers, strings.Join(c.signed, ";"), payload}
	return strings.Join(lines, "\n"), nil
}

// canonicalQuery has the parameters sorted and encoded, without the signature
// itself.
func canonicalQuery(query []parameter) string {
	list := make([]parameter, 0, len(query))
	for _, p := range query {
		if p.name != "X-Amz-Signature" {
			list = append(list, parameter{escape(p.name, false), escape(p.value, false)})
		}
	}
	slices.SortFunc(list, func(a, b parameter) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
	})
	var b strings.Builder
	for i, p := range list {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name + "=" + p.value)
	}
	return b.String()
}

// escape percent-encodes all but unreserved characters, and slashes in a path.
//
// Source: Amazon S3 API Reference, "Authenticating Requests: Using the
// Authorization Header", UriEncode
func escape(s string, path bool) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/4)
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~', c == '/' && path:
			b.WriteByte(c)
		default:
			target.Escape(&b, c)
		}
	}
	return b.String()
}

// canonicalHeaders are the lines of the signed headers. It fails when one of them
// is not there, or one that must be signed is not.
func canonicalHeaders(r *http.Request, c *claim) (string, error) {
	if !slices.Contains(c.signed, "host") {
		return "", c.malformed("The SignedHeaders must include host.")
	}
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !slices.Contains(c.signed, lower) {
			return "", denied("There were headers present in the request which were not signed: " + lower)
		}
	}
	var b strings.Builder
	for _, name := range c.signed {
		values := r.Header.Values(name)
		switch {
		case name == "host":
			values = []string{r.Host}
		case name == "content-length" && len(values) == 0 && r.ContentLength >= 0:
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		case name == "transfer-encoding" && len(values) == 0:
			values = r.TransferEncoding
		}
		if len(values) == 0 {
			return "", &Error{"SignatureDoesNotMatch", "The signed header " + name + " is not in the request.", http.StatusForbidden}
		}
		b.WriteString(name + ":")
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(trim(v))
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// trim removes spaces around a value, and makes one of several within it.
func trim(v string) string {
	v = strings.Trim(v, " \t")
	if !strings.Contains(v, "  ") {
		return v
	}
	return strings.Join(strings.FieldsFunc(v, func(r rune) bool { return r == ' ' }), " ")
}

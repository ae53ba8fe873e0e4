package ruleset

import (
	"encoding/csv"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/selvage-edge/selvage/rules"
)

// BulkRedirect redirects one address. There may be very many of them.
//
// Source: https://developers.cloudflare.com/rules/url-forwarding/bulk-redirects/reference/parameters/
type BulkRedirect struct {
	// From is host and path, with http:// or https:// if the scheme matters.
	// Required.
	From string `toml:"from"`
	// To is the absolute address. Required.
	To string `toml:"to"`
	// Status is 301 (default), 302, 303, 307 or 308.
	Status int `toml:"status"`
	// PreserveQueryString adds the query of the request.
	PreserveQueryString bool `toml:"preserve_query_string"`
	// IncludeSubdomains: the hosts below the one in From are meant, too.
	IncludeSubdomains bool `toml:"include_subdomains"`
	// SubpathMatching: the paths below the one in From are meant, too.
	SubpathMatching bool `toml:"subpath_matching"`
	// PreservePathSuffix adds what the request has below the path in From.
	// Default true.
	PreservePathSuffix *bool `toml:"preserve_path_suffix"`
}

// Bulk finds the redirect of an address among any number. It is safe for
// concurrent use.
type Bulk struct {
	// by host, path and scheme; the scheme is empty where it does not matter.
	exact map[source]*bulkTarget
}

type source struct {
	host, path, scheme string
	subdomains         bool // hosts below host
	subpaths           bool // paths below path
}

type bulkTarget struct {
	to            string
	status        int
	query, suffix bool
}

func (c *compiler) bulk(list []BulkRedirect) *Bulk {
	b := &Bulk{map[source]*bulkTarget{}}
	for i, r := range list {
		c.begin("bulk_redirects", i, rules.BulkRedirect)
		s, ok := c.source(r)
		if !ok {
			continue
		}
		t := &bulkTarget{to: r.To, status: c.status(r.Status), query: r.PreserveQueryString, suffix: r.PreservePathSuffix == nil || *r.PreservePathSuffix}
		if r.To == "" {
			c.failf("", "to is missing")
		} else if err := CheckTarget(r.To); err != nil {
			c.fail("to", err)
		} else if strings.HasPrefix(r.To, "/") {
			c.failf("to", "%q is not absolute: write https://…", r.To)
		}
		if b.exact[s] != nil {
			c.failf("from", "%q has a redirect already", r.From)
			continue
		}
		b.exact[s] = t
		if r.IncludeSubdomains {
			s.subdomains = true
			b.exact[s] = t
		}
		if r.SubpathMatching {
			s.subpaths = true
			b.exact[s] = t
			if s.subdomains {
				s.subdomains = false
				b.exact[s] = t
			}
		}
	}
	if len(b.exact) == 0 {
		return nil
	}
	return b
}

// source takes the address apart that a redirect is for.
func (c *compiler) source(r BulkRedirect) (source, bool) {
	if r.From == "" {
		c.failf("", "from is missing")
		return source{}, false
	}
	text := r.From
	if !strings.Contains(text, "://") {
		text = "any://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Port() != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "any" && u.Scheme != "http" && u.Scheme != "https" {
		c.failf("from", "%q is not a host with a path, such as example.com/old; it has neither port nor query", r.From)
		return source{}, false
	}
	s := source{host: strings.ToLower(u.Host), path: trimSlash(u.EscapedPath())}
	if u.Scheme != "any" {
		s.scheme = u.Scheme
	}
	return s, true
}

// trimSlash makes "/a/" and "/a" the same, and "" of "/".
func trimSlash(path string) string { return strings.TrimSuffix(path, "/") }

// Find returns where a request is redirected to, and 0 if it is not. The more
// exact redirect counts: the longer path, then the host itself before those
// above it, then the one with a scheme.
func (b *Bulk) Find(scheme, host, path, query string) (to string, status int) {
	path = trimSlash(path)
	for at, sub := path, false; ; sub = true {
		if t := b.at(scheme, host, at, sub); t != nil {
			return t.address(path[len(at):], query), t.status
		}
		slash := strings.LastIndexByte(at, '/')
		if slash < 0 { // of "OPTIONS *", too
			return "", 0
		}
		at = at[:slash]
	}
}

// at looks for the host, and then for the domains above it.
func (b *Bulk) at(scheme, host, path string, subpaths bool) *bulkTarget {
	for sub := false; ; sub = true {
		s := source{host, path, scheme, sub, subpaths}
		if t := b.exact[s]; t != nil {
			return t
		}
		s.scheme = ""
		if t := b.exact[s]; t != nil {
			return t
		}
		var ok bool
		if _, host, ok = strings.Cut(host, "."); !ok {
			return nil
		}
	}
}

func (t *bulkTarget) address(suffix, query string) string {
	to := t.to
	if t.suffix && suffix != "" {
		base, rest := to, ""
		if i := strings.IndexAny(to, "?#"); i >= 0 {
			base, rest = to[:i], to[i:]
		}
		to = trimSlash(base) + suffix + rest
	}
	if t.query {
		to = WithQuery(to, query)
	}
	return to
}

// WithQuery adds a query to an address.
func WithQuery(to, query string) string {
	if query == "" {
		return to
	}
	fragment := ""
	if i := strings.IndexByte(to, '#'); i >= 0 {
		to, fragment = to[:i], to[i:]
	}
	mark := "?"
	if strings.Contains(to, "?") {
		mark = "&"
	}
	return to + mark + query + fragment
}

// ReadBulk reads redirects as Cloudflare's dashboard imports them: a line for
// each, with the fields of BulkRedirect from From to PreservePathSuffix,
// separated by commas. Only the first two are required; TRUE and FALSE are
// written in any case. The error names the line.
//
// Source: https://developers.cloudflare.com/rules/url-forwarding/bulk-redirects/reference/csv-file-format/
func ReadBulk(r io.Reader) ([]BulkRedirect, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = -1
	in.Comment = '#'
	in.TrimLeadingSpace = true
	var list []BulkRedirect
	for {
		fields, err := in.Read()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		b, err := readBulk(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		list = append(list, b)
	}
}

func readBulk(fields []string) (b BulkRedirect, err error) {
	if len(fields) < 2 || len(fields) > 7 {
		return b, fmt.Errorf("there are %d fields; a redirect has from 2 to 7", len(fields))
	}
	b.From, b.To = fields[0], fields[1]
	if len(fields) > 2 && fields[2] != "" {
		if b.Status, err = strconv.Atoi(fields[2]); err != nil {
			return b, fmt.Errorf("%q is not a status", fields[2])
		}
	}
	flags := []bool{false, false, false, true}
	for i := range flags {
		if i+3 < len(fields) && fields[i+3] != "" {
			if flags[i], err = strconv.ParseBool(strings.ToLower(fields[i+3])); err != nil {
				return b, fmt.Errorf("%q is neither TRUE nor FALSE", fields[i+3])
			}
		}
	}
	b.PreserveQueryString, b.IncludeSubdomains, b.SubpathMatching, b.PreservePathSuffix = flags[0], flags[1], flags[2], &flags[3]
	return b, nil
}

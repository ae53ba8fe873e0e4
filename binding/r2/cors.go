package r2

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// CORS are the rules by which pages of other origins may reach a bucket's objects.
// The first one that fits a request counts. Without rules no page may.
//
// Source: https://developers.cloudflare.com/r2/buckets/cors/
type CORS []CORSRule

// CORSRule is a rule, as the REST API has it.
type CORSRule struct {
	ID      string      `json:"id,omitempty"`
	Allowed CORSAllowed `json:"allowed"`
	// ExposeHeaders are the headers of a response that the page may read beyond those
	// that every page may.
	ExposeHeaders []string `json:"exposeHeaders,omitempty"`
	// MaxAge is for how many seconds a browser may keep the answer to a preflight. 0:
	// the browser decides.
	MaxAge int `json:"maxAgeSeconds,omitempty"`
}

// CORSAllowed says which requests a rule fits. An origin and a header may have one
// asterisk, which stands for any characters.
type CORSAllowed struct {
	// Origins are of the form "https://example.com:8443".
	Origins []string `json:"origins"`
	// Methods are GET, HEAD, PUT, POST and DELETE.
	Methods []string `json:"methods"`
	// Headers are those of requests that a browser asks about, in any case.
	Headers []string `json:"headers,omitempty"`
}

// Limits of CORS rules.
const (
	// MaxCORSRules is the number of rules of a bucket.
	MaxCORSRules = 100
	// MaxCORSAge is the largest CORSRule.MaxAge.
	MaxCORSAge = 86400
)

var corsMethods = []string{"GET", "HEAD", "PUT", "POST", "DELETE"}

// ErrNoCORS: a bucket has no CORS rules.
var ErrNoCORS = &Error{http.StatusNotFound, 10059, "The CORS configuration does not exist."}

func (r *CORSRule) check(n int) error {
	switch {
	case len(r.Allowed.Origins) == 0:
		return invalid("The CORS rule %d needs at least one allowed origin.", n)
	case len(r.Allowed.Methods) == 0:
		return invalid("The CORS rule %d needs at least one allowed method.", n)
	case len(r.ID) > 255:
		return invalid("The id of the CORS rule %d has over 255 bytes.", n)
	case r.MaxAge < 0 || r.MaxAge > MaxCORSAge:
		return invalid("The maximum age of the CORS rule %d is %d; it must be 0 to %d seconds.", n, r.MaxAge, MaxCORSAge)
	}
	for _, m := range r.Allowed.Methods {
		if !slices.Contains(corsMethods, m) {
			return invalid("The CORS rule %d allows the method %q; a method is one of %s.", n, m, strings.Join(corsMethods, ", "))
		}
	}
	for _, o := range r.Allowed.Origins {
		if o == "" || strings.Count(o, "*") > 1 || !printable(o) {
			return invalid("The CORS rule %d allows the origin %q; an origin is like https://example.com, with one asterisk at most.", n, o)
		}
	}
	for _, h := range r.Allowed.Headers {
		if h == "" || strings.Count(h, "*") > 1 || !printable(h) {
			return invalid("The CORS rule %d allows the header %q; a header is a name with one asterisk at most.", n, h)
		}
	}
	for _, h := range r.ExposeHeaders {
		if h == "" || strings.ContainsAny(h, ",") || !printable(h) {
			return invalid("The CORS rule %d exposes the header %q, which is no name of a header.", n, h)
		}
	}
	return nil
}

// printable reports whether s can be part of a header: ASCII without spaces.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// CORS are the rules of a bucket; none without an error if it has none.
func (s *Store) CORS(ctx context.Context, bucket string) (CORS, error) {
	set, err := s.settingsOf(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return set.CORS, nil
}

// SetCORS replaces the rules of a bucket.
func (s *Store) SetCORS(ctx context.Context, bucket string, rules CORS) error {
	if len(rules) > MaxCORSRules {
		return invalid("There are %d CORS rules; at most %d are allowed.", len(rules), MaxCORSRules)
	}
	for i := range rules {
		if err := rules[i].check(i + 1); err != nil {
			return err
		}
	}
	return s.change(ctx, bucket, func(_ *Bucket, set *settings) error { set.CORS = slices.Clone(rules); return nil })
}

// CORS are the rules of the bucket, without waiting.
func (b *Bucket) CORS() CORS { return b.settings.Load().CORS }

// Allow adds to the header of a response what it says to the page that sent r:
// nothing if no page did, or one that may not. It is for every method but OPTIONS.
func (c CORS) Allow(r *http.Request, response http.Header) {
	if len(c) == 0 {
		return
	}
	response.Add("Vary", "Origin") // others would get another answer
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	if rule, pattern := c.find(origin, r.Method, nil); rule != nil {
		rule.allow(origin, pattern, response)
	}
}

// Preflight adds to the header of a response what it says about the request that a
// browser asks for by r, whose method is OPTIONS. It reports whether a rule allows
// that request; if none does nothing but Vary is added.
func (c CORS) Preflight(r *http.Request, response http.Header) bool {
	response.Add("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	origin, method := r.Header.Get("Origin"), r.Header.Get("Access-Control-Request-Method")
	if origin == "" || method == "" {
		return false
	}
	var asked []string
	for _, line := range r.Header.Values("Access-Control-Request-Headers") {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				asked = append(asked, name)
			}
		}
	}
	rule, pattern := c.find(origin, method, asked)
	if rule == nil {
		return false
	}
	rule.allow(origin, pattern, response)
	if len(asked) > 0 {
		response.Set("Access-Control-Allow-Headers", strings.Join(asked, ", "))
	}
	if rule.MaxAge > 0 {
		response.Set("Access-Control-Max-Age", strconv.Itoa(rule.MaxAge))
	}
	return true
}

// find returns the first rule that fits, and its pattern of the origin.
func (c CORS) find(origin, method string, headers []string) (rule *CORSRule, pattern string) {
	for i := range c {
		allowed := &c[i].Allowed
		if !slices.Contains(allowed.Methods, method) {
			continue
		}
		n := slices.IndexFunc(allowed.Origins, func(p string) bool { return fits(p, origin) })
		if n < 0 {
			continue
		}
		missing := slices.ContainsFunc(headers, func(h string) bool {
			return !slices.ContainsFunc(allowed.Headers, func(p string) bool { return fits(strings.ToLower(p), strings.ToLower(h)) })
		})
		if !missing {
			return &c[i], allowed.Origins[n]
		}
	}
	return nil, ""
}

func (r *CORSRule) allow(origin, pattern string, response http.Header) {
	if pattern == "*" {
		origin = "*"
	}
	response.Set("Access-Control-Allow-Origin", origin)
	response.Set("Access-Control-Allow-Methods", strings.Join(r.Allowed.Methods, ", "))
	if len(r.ExposeHeaders) > 0 {
		response.Set("Access-Control-Expose-Headers", strings.Join(r.ExposeHeaders, ", "))
	}
}

// fits reports whether s is of a pattern with at most one asterisk.
func fits(pattern, s string) bool {
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == s
	}
	return len(s) >= len(before)+len(after) && strings.HasPrefix(s, before) && strings.HasSuffix(s, after)
}

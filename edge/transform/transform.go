// Package transform has the stages that change headers: those of requests, on
// their way to the Worker, and those of responses, on their way to the client.
//
// Source: https://developers.cloudflare.com/rules/transform/
package transform

import (
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/rules"
	"github.com/selvage-edge/selvage/ruleset"
)

type list = *ruleset.List[ruleset.Headers]

// apply carries out every rule that matches on h, which is a part of c.
func apply(l list, c *rules.Context, h http.Header) {
	for i := range l.Rules {
		rule := &l.Rules[i]
		if !rule.Match(c) {
			continue
		}
		for _, o := range rule.Operations {
			if o.Value == nil {
				delete(h, o.Name)
				continue
			}
			value, ok := o.Value.Make(c)
			if !ok || !ruleset.ValidHeaderValue(value) {
				continue
			}
			value = strings.Clone(value)
			if o.Add {
				h[o.Name] = append(h[o.Name], value)
			} else {
				h[o.Name] = []string{value}
			}
		}
		c.Changed()
	}
}

// Request is the stage that changes headers of requests. Rules are carried out
// in order; each sees what those before it have made. A header whose value is
// missing, or cannot be one, stays as it is. It is safe for concurrent use; the
// zero Request has no rules.
type Request struct {
	// Rules are those in force.
	Rules ruleset.Current[ruleset.Headers]
}

// ServeHTTP implements edge.Stage.
func (s *Request) ServeHTTP(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	if l := s.Rules.Load(); l != nil {
		c := edge.Facts(r, l.Body)
		apply(l, c, r.Header)
		edge.Forget(c)
	}
	return next.ServeHTTP(w, r)
}

// Response is the stage that changes headers of responses, also those that the
// edge makes itself. See Request.
type Response struct {
	// Rules are those in force.
	Rules ruleset.Current[ruleset.Headers]
}

// ServeHTTP implements edge.Stage.
func (s *Response) ServeHTTP(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	if l := s.Rules.Load(); l != nil {
		var body rules.Body
		if l.Body { // by then the Worker has read it
			c := edge.Facts(r, true)
			if c.Body != nil {
				body = c.Body()
			}
			edge.Forget(c)
		}
		edge.OnHeader(r, func(status int, h http.Header, failed *fault.Fault) {
			c := edge.Facts(r, false)
			defer edge.Forget(c)
			if l.Body {
				c.Body = func() rules.Body { return body }
			}
			c.Status, c.ResponseHeader, c.RawResponseHeader = status, h, h.Clone()
			if failed != nil {
				c.ErrorCode, c.ErrorType = failed.Code, kind(failed)
				if c.ErrorCode < 1000 {
					c.ErrorCode = 0
				}
			}
			apply(l, c, h)
		})
	}
	return next.ServeHTTP(w, r)
}

// kind is the error type that expressions know.
//
// Source: https://developers.cloudflare.com/ruleset-engine/rules-language/fields/reference/cf.response.error_type/
func kind(f *fault.Fault) string {
	switch {
	case f.Code == fault.AccessDenied.Code:
		return "waf"
	case f.Code == fault.RateLimited.Code:
		return "ratelimit"
	case f.Code >= 1000:
		return "1xxx"
	case f.Status >= 500:
		return "5xx"
	}
	return ""
}

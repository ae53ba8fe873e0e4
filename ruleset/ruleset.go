// Package ruleset has the rules of each phase: as they are written, and, after
// they have been checked, as the edge's stages carry them out.
//
// Where there is one, a phase does what Cloudflare's does; docs/rules.md has
// what differs.
//
// Source: https://developers.cloudflare.com/ruleset-engine/reference/phases-list/
package ruleset

import (
	"fmt"

	"github.com/selvage-edge/selvage/rules"
)

// Rules are the rules of all phases as they are written in selvage.toml, by
// phase, in the order in which they are tried.
type Rules struct {
	// Redirects answer with another address (http_request_dynamic_redirect). The
	// first that matches counts.
	Redirects []RedirectRule `toml:"redirects"`
	// URLRewrites change path and query (http_request_transform). Each that
	// matches is carried out, and the next ones see its result.
	URLRewrites []RewriteRule `toml:"url_rewrites"`
	// Firewall blocks, skips and logs (http_request_firewall_custom).
	Firewall []FirewallRule `toml:"firewall"`
	// BulkRedirects are many redirects of single addresses
	// (http_request_redirect).
	BulkRedirects []BulkRedirect `toml:"bulk_redirects"`
	// BulkRedirectsFile names a file with more of them, as Cloudflare imports them.
	BulkRedirectsFile string `toml:"bulk_redirects_file"`
	// RequestHeaders change what the Worker gets (http_request_late_transform),
	// ResponseHeaders what the client gets (http_response_headers_transform).
	RequestHeaders  []HeaderRule `toml:"request_headers"`
	ResponseHeaders []HeaderRule `toml:"response_headers"`
}

// Rule is what all rules have.
type Rule struct {
	// Description is for people, and for the log.
	Description string `toml:"description"`
	// Expression says which requests the rule is for.
	Expression string `toml:"expression"`
	// Enabled false turns the rule off; it is checked nevertheless. Default true.
	Enabled *bool `toml:"enabled"`
}

// Problem says what is wrong with one key of Rules.
type Problem struct {
	// Key is dotted, and counts rules from 1: "firewall[2].expression".
	Key string
	Err error
}

// Error is the key and what is wrong.
func (p *Problem) Error() string { return p.Key + ": " + p.Err.Error() }

// Unwrap returns what is wrong.
func (p *Problem) Unwrap() error { return p.Err }

// Set are checked rules. Those that are turned off are not in it. A Set is never
// changed and safe for concurrent use; the nil Set is empty.
type Set struct {
	Redirects       []Redirect
	Rewrites        []Rewrite
	Firewall        []Firewall
	Bulk            *Bulk // nil: none
	RequestHeaders  []Headers
	ResponseHeaders []Headers
}

// Matcher decides whether a rule is for a request.
type Matcher struct {
	*rules.Filter
	// Name is for the log: the description, or the rule's place.
	Name string
}

// Compile checks rules. list finds the lists that their expressions name; it may
// be nil. There is a Problem for each key that is wrong, and then no Set.
func Compile(r Rules, list func(name string) *rules.List) (*Set, []*Problem) {
	c := &compiler{list: list}
	s := &Set{}
	for i, rule := range r.Redirects {
		c.begin("redirects", i, rules.Redirect)
		keep(c, &s.Redirects, rule.Rule, c.redirect(rule))
	}
	for i, rule := range r.URLRewrites {
		c.begin("url_rewrites", i, rules.URLRewrite)
		keep(c, &s.Rewrites, rule.Rule, c.rewrite(rule))
	}
	for i, rule := range r.Firewall {
		c.begin("firewall", i, rules.Firewall)
		keep(c, &s.Firewall, rule.Rule, c.firewall(rule))
	}
	s.Bulk = c.bulk(r.BulkRedirects)
	for i, rule := range r.RequestHeaders {
		c.begin("request_headers", i, rules.RequestHeaders)
		keep(c, &s.RequestHeaders, rule.Rule, c.headers(rule))
	}
	for i, rule := range r.ResponseHeaders {
		c.begin("response_headers", i, rules.ResponseHeaders)
		keep(c, &s.ResponseHeaders, rule.Rule, c.headers(rule))
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return s, nil
}

// keep adds what was made of a rule, unless it is turned off.
func keep[T any](c *compiler, list *[]T, r Rule, made T) {
	if r.Enabled == nil || *r.Enabled {
		*list = append(*list, made)
	}
}

type compiler struct {
	list     func(name string) *rules.List
	at       string // the rule
	phase    rules.Phase
	problems []*Problem
}

func (c *compiler) begin(table string, i int, phase rules.Phase) {
	c.at, c.phase = fmt.Sprintf("%s[%d]", table, i+1), phase
}

func (c *compiler) fail(key string, err error) {
	if key != "" {
		key = "." + key
	}
	c.problems = append(c.problems, &Problem{c.at + key, err})
}

func (c *compiler) failf(key, format string, args ...any) { c.fail(key, fmt.Errorf(format, args...)) }

func (c *compiler) options() rules.Options { return rules.Options{Phase: c.phase, List: c.list} }

// matcher compiles the expression of a rule.
func (c *compiler) matcher(r Rule) Matcher {
	m := Matcher{Name: r.Description}
	if m.Name == "" {
		m.Name = c.at
	}
	if r.Expression == "" {
		c.failf("", `expression is missing; "true" is every request`)
		return m
	}
	f, err := rules.Compile(r.Expression, c.options())
	if err != nil {
		c.fail("expression", err)
		return m
	}
	m.Filter = f
	return m
}

// text is what a rule makes: a fixed text, or an expression's.
func (c *compiler) text(key, fixed, expression string) *Text {
	switch {
	case fixed != "" && expression != "":
		c.failf(key, "use either %s or %s_expression", key, key)
	case expression != "":
		v, err := rules.CompileValue(expression, c.options())
		if err != nil {
			c.fail(key+"_expression", err)
			return nil
		}
		return &Text{value: v}
	case fixed != "":
		return &Text{fixed: fixed}
	}
	return nil
}

// Text is what a rule makes of a request.
type Text struct {
	fixed string
	value *rules.Value
}

// Make returns the text; false if something that it is made of is missing. It is
// good until x is reset.
func (t *Text) Make(x *rules.Context) (string, bool) {
	if t.value != nil {
		return t.value.Text(x)
	}
	return t.fixed, true
}

// Body reports whether the text is made of the request's body.
func (t *Text) Body() bool { return t != nil && t.value != nil && t.value.Body() }

package ruleset

import "strings"

// RewriteRule changes path and query before anything else looks at them.
//
// Source: https://developers.cloudflare.com/rules/transform/url-rewrite/
type RewriteRule struct {
	Rule
	// Path replaces the path, PathExpression makes the new one.
	Path           string `toml:"path"`
	PathExpression string `toml:"path_expression"`
	// Query replaces the query, without a question mark; "" removes it.
	// QueryExpression makes the new one.
	Query           *string `toml:"query"`
	QueryExpression string  `toml:"query_expression"`
}

// Rewrite is a checked RewriteRule. Path and Query are nil where they stay.
type Rewrite struct {
	Matcher
	Path, Query *Text
}

// Body reports whether the rule looks at the request's body.
func (r Rewrite) Body() bool { return r.Filter.Body() || r.Path.Body() || r.Query.Body() }

func (c *compiler) rewrite(r RewriteRule) Rewrite {
	w := Rewrite{Matcher: c.matcher(r.Rule), Path: c.text("path", r.Path, r.PathExpression)}
	switch {
	case r.Path != "" && (!strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, "?# ")):
		c.failf("path", "%q is not a path: it begins with a slash and has no ?, # or space", r.Path)
	case r.Query != nil && r.QueryExpression != "":
		c.failf("query", "use either query or query_expression")
	case r.Query != nil && strings.ContainsAny(*r.Query, "?# "):
		c.failf("query", "%q has a ?, # or space, which belongs escaped", *r.Query)
	case r.Query != nil:
		w.Query = &Text{fixed: *r.Query}
	default:
		w.Query = c.text("query", "", r.QueryExpression)
	}
	if r.Path == "" && r.PathExpression == "" && r.Query == nil && r.QueryExpression == "" {
		c.failf("", "nothing is rewritten: path, path_expression, query or query_expression is missing")
	}
	return w
}

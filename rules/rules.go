// Package rules is Cloudflare's Rules language: the expressions that say which
// requests a rule is for, and what it makes of them.
//
//	http.host eq "shop.example.com" and not ip.src in $office
//	any(http.request.headers["content-type"][*] contains "json")
//	concat("https://www.example.com", http.request.uri.path)
//
// [Compile] checks an expression with all its types for the phase it stands in,
// and makes closures of it. To evaluate a [Filter] allocates nothing once its
// [Context] has grown, whatever functions it calls; only multipart bodies and
// JSON that is not valid cost memory. What is compiled is safe for concurrent
// use; each evaluation needs a Context of its own.
//
// Where Cloudflare's documents leave something open, the open-source engine is
// followed (github.com/cloudflare/wirefilter). docs/rules.md has what differs.
//
// Source: https://developers.cloudflare.com/ruleset-engine/rules-language/
package rules

import "fmt"

// Options say where an expression stands.
type Options struct {
	// Phase decides which fields and functions there are. Required.
	Phase Phase
	// List finds a list by its name without the $. Nil, and a nil list, mean that
	// there is none.
	List func(name string) *List
}

// Filter decides which requests a rule is for.
type Filter struct {
	match test
	body  bool
}

// Compile makes a Filter. The error is an *Error.
func Compile(source string, o Options) (*Filter, error) {
	c := &compiler{use: use{phase: o.Phase}, list: o.List}
	v, err := c.whole(source)
	if err != nil {
		return nil, err
	}
	match, ok := v.fn.(test)
	if !ok || v.each {
		return nil, c.fail(v.at, "a rule needs a condition, which is true or false; this is of type %s%s", v.shape(), hint(v))
	}
	return &Filter{match, c.body}, nil
}

// Match reports whether the rule is for the request.
func (f *Filter) Match(c *Context) bool { return f.match(c) }

// Body reports whether the expression may look at the request's body.
func (f *Filter) Body() bool { return f.body }

// Value makes a string of a request: a path, a header, a URL.
type Value struct {
	get  getter[string]
	body bool
}

// CompileValue makes a Value. The error is an *Error.
func CompileValue(source string, o Options) (*Value, error) {
	c := &compiler{use: use{phase: o.Phase, value: true}, list: o.List}
	v, err := c.whole(source)
	if err != nil {
		return nil, err
	}
	if v.lit != nil {
		if v, err = c.textLiteral(v); err != nil {
			return nil, err
		}
	}
	get, ok := v.fn.(getter[string])
	if !ok || v.each {
		return nil, c.fail(v.at, "the value must be a string; this is of type %s%s", v.shape(), hint(v))
	}
	return &Value{get, c.body}, nil
}

// Text evaluates v; false means that something it is made of is missing. The
// string is good until the Context is reset.
func (v *Value) Text(c *Context) (string, bool) { return v.get(c) }

// Body reports whether the expression may look at the request's body.
func (v *Value) Body() bool { return v.body }

// hint says how to make a single value of v.
func hint(v value) string {
	switch {
	case v.each || v.typ.Arrays > 0 && v.typ.Kind == Bool:
		return "; put it into any(…) or all(…)"
	case v.typ.Map:
		return fmt.Sprintf("; take one key, as in %s", `["name"]`)
	case v.typ.Arrays > 0:
		return "; take one element, as in [0], or compare each, as in any(…[*] eq …)"
	case v.typ.Kind == Int || v.typ.Kind == IP:
		return "; compare it, as in … eq …, or use to_string(…) where a string is wanted"
	}
	return ""
}

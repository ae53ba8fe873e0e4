package ruleset

import (
	"maps"
	"net/textproto"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/rules"
)

// HeaderRule changes headers of requests or of responses.
//
// Source: https://developers.cloudflare.com/rules/transform/
type HeaderRule struct {
	Rule
	// Set gives headers a value, SetExpression one that is made, in place of what
	// they had.
	Set           map[string]string `toml:"set"`
	SetExpression map[string]string `toml:"set_expression"`
	// Add gives headers of responses one value more.
	Add           map[string]string `toml:"add"`
	AddExpression map[string]string `toml:"add_expression"`
	// Remove takes headers away.
	Remove []string `toml:"remove"`
}

// Headers is a checked HeaderRule.
type Headers struct {
	Matcher
	Operations []Operation
}

// Operation changes one header.
type Operation struct {
	// Name is in Go's canonical form.
	Name string
	// Value is nil where the header is removed.
	Value *Text
	// Add keeps the values that the header has.
	Add bool
}

// Body reports whether the rule looks at the request's body.
func (h Headers) Body() bool {
	return h.Filter.Body() || slices.ContainsFunc(h.Operations, func(o Operation) bool { return o.Value.Body() })
}

func (c *compiler) headers(r HeaderRule) Headers {
	h := Headers{Matcher: c.matcher(r.Rule)}
	if c.phase == rules.RequestHeaders && len(r.Add)+len(r.AddExpression) > 0 {
		c.failf("add", "headers of requests can be set and removed; add is for responses")
	}
	seen := map[string]bool{}
	change := func(key, name string, o Operation) {
		o.Name = c.headerName(key, name, o.Value == nil)
		if seen[o.Name] {
			c.failf(key, "%s is changed twice", name)
		}
		seen[o.Name] = true
		h.Operations = append(h.Operations, o)
	}
	fixed := func(key string, values map[string]string, add bool) {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if !ValidHeaderValue(values[name]) {
				c.failf(key, "%s: the value has a control character", name)
			}
			change(key, name, Operation{Value: &Text{fixed: values[name]}, Add: add})
		}
	}
	made := func(key string, values map[string]string, add bool) {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			v, err := rules.CompileValue(values[name], c.options())
			if err != nil {
				c.failf(key, "%s: %w", name, err)
				continue
			}
			change(key, name, Operation{Value: &Text{value: v}, Add: add})
		}
	}
	fixed("set", r.Set, false)
	made("set_expression", r.SetExpression, false)
	fixed("add", r.Add, true)
	made("add_expression", r.AddExpression, true)
	for _, name := range r.Remove {
		change("remove", name, Operation{})
	}
	if len(r.Set)+len(r.SetExpression)+len(r.Add)+len(r.AddExpression)+len(r.Remove) == 0 {
		c.failf("", "nothing is changed: set, set_expression, add, add_expression or remove is missing")
	}
	return h
}

// ours are headers that no rule may change: they belong to the connection, or
// say who the client is.
var ours = []string{
	"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection",
}

// identity are headers by which a Worker knows the client. They can be removed.
var identity = []string{"x-forwarded-for", "x-real-ip", "true-client-ip", "x-forwarded-proto"}

// headerName checks and canonicalizes the name of a header.
//
// Source: https://developers.cloudflare.com/rules/transform/request-header-modification/#important-remarks
func (c *compiler) headerName(key, name string, remove bool) string {
	lower := strings.ToLower(name)
	switch {
	case name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r > '~' || r <= ' ' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}):
		c.failf(key, "%q is not the name of a header", name)
	case strings.HasPrefix(lower, "cf-"), strings.HasPrefix(lower, "x-cf-"), strings.HasPrefix(lower, "selvage-"):
		c.failf(key, "%s: headers whose names begin with cf-, x-cf- or selvage- are the edge's own", name)
	case slices.Contains(ours, lower):
		c.failf(key, "%s belongs to the connection and cannot be changed", name)
	case c.phase == rules.RequestHeaders && !remove && slices.Contains(identity, lower):
		c.failf(key, "%s says who the client is; it can be removed, not set", name)
	case c.phase == rules.RequestHeaders && !remove && lower == "cookie":
		c.failf(key, "%s can be removed, not set", name)
	case c.phase == rules.ResponseHeaders && (lower == "server" || lower == "content-encoding"):
		c.failf(key, "%s is the edge's own", name)
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

// ValidHeaderValue reports whether v can be sent as the value of a header.
func ValidHeaderValue(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' && v[i] != '\t' || v[i] == 0x7f {
			return false
		}
	}
	return true
}

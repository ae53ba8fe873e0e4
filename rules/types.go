package rules

import "strings"

// Kind is what a value is in the end.
type Kind uint8

// The kinds. A string is any bytes.
const (
	Bool Kind = iota
	Int
	String
	IP
)

var kindNames = [...]string{"Boolean", "Integer", "String", "IP address"}

// Type is the type of a field or of what a function returns.
type Type struct {
	Kind Kind
	// Arrays is how many arrays are around it.
	Arrays uint8
	// Map: those are the values of a map, whose keys are strings.
	Map bool
}

// String is the type as Cloudflare writes it: "Map<Array<String>>".
func (t Type) String() string {
	open := strings.Repeat("Array<", int(t.Arrays))
	if t.Map {
		open = "Map<" + open
	}
	return open + kindNames[t.Kind] + strings.Repeat(">", strings.Count(open, "<"))
}

// Phase is a step of a request's way in which rules run. Several can be
// combined, to say where something may be used.
type Phase uint16

// The phases, in the order in which a request meets them.
//
// Source: https://developers.cloudflare.com/ruleset-engine/reference/phases-list/
const (
	Redirect        Phase = 1 << iota // Single Redirects
	URLRewrite                        // Transform Rules: URL Rewrite Rules
	Firewall                          // WAF custom rules
	RateLimit                         // rate limiting rules
	BulkRedirect                      // Bulk Redirects
	RequestHeaders                    // Transform Rules: Request Header Transform Rules
	CustomErrors                      // Custom Errors
	ResponseHeaders                   // Transform Rules: Response Header Transform Rules

	transform = URLRewrite | RequestHeaders | ResponseHeaders
)

var phaseNames = []struct {
	phase      Phase
	name, told string
}{
	{Redirect, "http_request_dynamic_redirect", "redirects"},
	{URLRewrite, "http_request_transform", "URL rewrites"},
	{Firewall, "http_request_firewall_custom", "custom rules of the firewall"},
	{RateLimit, "http_ratelimit", "rate limiting rules"},
	{BulkRedirect, "http_request_redirect", "bulk redirects"},
	{RequestHeaders, "http_request_late_transform", "request header transforms"},
	{CustomErrors, "http_custom_errors", "custom error rules"},
	{ResponseHeaders, "http_response_headers_transform", "response header transforms"},
}

// String is Cloudflare's name of a single phase.
func (p Phase) String() string {
	for _, n := range phaseNames {
		if n.phase == p {
			return n.name
		}
	}
	return p.Told()
}

// Told names the phases of p for people: "redirects, URL rewrites".
func (p Phase) Told() string {
	var names []string
	for _, n := range phaseNames {
		if p&n.phase != 0 {
			names = append(names, n.told)
		}
	}
	return strings.Join(names, ", ")
}

// use is where an expression stands: the phase, and whether it makes a value
// (a rewrite, the target of a redirect) or decides whether a rule matches.
type use struct {
	phase Phase
	value bool
}

// where limits a field or function to phases; zero is everywhere.
type where struct {
	phases Phase
	value  bool // only in expressions that make a value
}

// refuses says why something is not allowed in u; empty if it is.
func (w where) refuses(u use) string {
	in := "in"
	if w.value {
		in = "in the values of"
	}
	if w.phases != 0 && w.phases&u.phase == 0 || w.value && !u.value {
		return "can be used " + in + " " + w.phases.Told() + " only"
	}
	return ""
}

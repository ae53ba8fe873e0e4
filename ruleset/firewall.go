package ruleset

import "slices"

// FirewallRule is a custom rule.
//
// Source: https://developers.cloudflare.com/waf/custom-rules/
type FirewallRule struct {
	Rule
	// Action is block, skip (the rules after this one) or log. Required.
	Action string `toml:"action"`
	// Response is what block answers in place of the error page.
	Response *Response `toml:"response"`
}

// Response is the answer of a rule that blocks.
//
// Source: https://developers.cloudflare.com/waf/custom-rules/create-api/#configure-a-custom-response-for-blocked-requests
type Response struct {
	// Status is from 400 to 499. Default 403.
	Status int `toml:"status"`
	// ContentType is text/plain (default), text/html, text/xml or application/json.
	ContentType string `toml:"content_type"`
	// Content has at most 2,048 bytes.
	Content string `toml:"content"`
}

const maxContent = 2048

// Action is what a rule of the firewall does.
type Action uint8

// The actions.
const (
	Block Action = iota
	Skip
	Log
)

// Firewall is a checked FirewallRule.
type Firewall struct {
	Matcher
	Action Action
	// Response is nil for the error page.
	Response *Response
}

var contentTypes = []string{"text/plain", "text/html", "text/xml", "application/json"}

func (c *compiler) firewall(r FirewallRule) Firewall {
	f := Firewall{Matcher: c.matcher(r.Rule)}
	switch r.Action {
	case "block":
	case "skip":
		f.Action = Skip
	case "log":
		f.Action = Log
	case "":
		c.failf("", "action is missing: block, skip or log")
	case "managed_challenge", "js_challenge", "challenge":
		c.failf("action", "challenges are not there yet; use block, skip or log")
	default:
		c.failf("action", "%q is not one of block, skip, log", r.Action)
	}
	if r.Response == nil {
		return f
	}
	res := *r.Response
	if f.Action != Block {
		c.failf("response", "only block answers")
	}
	if res.Status == 0 {
		res.Status = 403
	}
	if res.ContentType == "" {
		res.ContentType = "text/plain"
	}
	if res.Status < 400 || res.Status > 499 {
		c.failf("response", "status: %d is not from 400 to 499", res.Status)
	}
	if !slices.Contains(contentTypes, res.ContentType) {
		c.failf("response", "content_type: %q is not one of text/plain, text/html, text/xml, application/json", res.ContentType)
	}
	if len(res.Content) > maxContent {
		c.failf("response", "content: %d bytes are more than %d", len(res.Content), maxContent)
	}
	f.Response = &res
	return f
}

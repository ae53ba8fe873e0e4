package ruleset

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// RedirectRule answers with another address.
//
// Source: https://developers.cloudflare.com/rules/url-forwarding/single-redirects/
type RedirectRule struct {
	Rule
	// To is the address, ToExpression makes it. It is absolute (https://…), or a
	// path on the same host.
	To           string `toml:"to"`
	ToExpression string `toml:"to_expression"`
	// Status is 301 (default), 302, 303, 307 or 308.
	Status int `toml:"status"`
	// PreserveQueryString adds the query of the request.
	PreserveQueryString bool `toml:"preserve_query_string"`
}

// Redirect is a checked RedirectRule.
type Redirect struct {
	Matcher
	To            *Text
	Status        int
	PreserveQuery bool
}

// Body reports whether the rule looks at the request's body.
func (r Redirect) Body() bool { return r.Filter.Body() || r.To.Body() }

func (c *compiler) redirect(r RedirectRule) Redirect {
	d := Redirect{Matcher: c.matcher(r.Rule), To: c.text("to", r.To, r.ToExpression), Status: c.status(r.Status), PreserveQuery: r.PreserveQueryString}
	if r.To == "" && r.ToExpression == "" {
		c.failf("", "to or to_expression is missing")
	}
	if r.To != "" {
		if err := CheckTarget(r.To); err != nil {
			c.fail("to", err)
		}
	}
	return d
}

func (c *compiler) status(status int) int {
	if status == 0 {
		return 301
	}
	if !slices.Contains([]int{301, 302, 303, 307, 308}, status) {
		c.failf("status", "%d is not one of 301, 302, 303, 307, 308", status)
	}
	return status
}

// CheckTarget says what is wrong with the address of a redirect.
func CheckTarget(to string) error {
	for i := range len(to) {
		if to[i] <= ' ' || to[i] == 0x7f || to[i] == '\\' {
			return fmt.Errorf("%q has a space, a backslash or a control character", to)
		}
	}
	if strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
		return nil
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("%q is neither an address such as https://example.com/ nor a path", to)
	}
	return nil
}

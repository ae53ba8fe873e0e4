package assets

import (
	"fmt"
	"regexp"
	"strings"
)

// pattern is a compiled path rule.
type pattern struct {
	re *regexp.Regexp
	// names of the groups in order of appearance; "splat" for the asterisk.
	names []string
	// host: the rule is absolute and is compared with https://host/path,
	// whatever the scheme of the request.
	host bool
}

var (
	placeholder = regexp.MustCompile(`:[A-Za-z]\w*`)
	absolute    = regexp.MustCompile(`^https://+([^/]+)/?(.*)`)
	portSuffix  = regexp.MustCompile(`:\d+$`)
	scheme      = regexp.MustCompile(`^\w+://`)
)

// globPattern compiles a rule in which only the asterisk has a meaning.
func globPattern(glob string) pattern {
	parts := strings.Split(glob, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return pattern{re: regexp.MustCompile("^(?s:" + strings.Join(parts, ".*") + ")$")}
}

// rulePattern compiles a rule of _headers or _redirects: an asterisk captures
// anything as :splat, :name captures within a segment, and in the host within
// a label.
func rulePattern(rule string) (pattern, error) {
	p := pattern{host: strings.HasPrefix(rule, "https://")}
	var b strings.Builder
	b.WriteString("^")
	pathStart := 0
	if p.host {
		pathStart = len("https://") + strings.IndexByte(rule[len("https://"):]+"/", '/')
	}
	group := func(name, re string) error {
		for _, n := range p.names {
			if n == name {
				return fmt.Errorf("placeholder :%s is there twice; skipping %s", name, rule)
			}
		}
		p.names = append(p.names, name)
		fmt.Fprintf(&b, "(%s)", re)
		return nil
	}
	for i := 0; i < len(rule); {
		if rule[i] == '*' {
			if err := group("splat", ".*"); err != nil {
				return p, err
			}
			i++
			continue
		}
		if m := placeholder.FindStringIndex(rule[i:]); m != nil && m[0] == 0 {
			re := "[^/]+"
			if i < pathStart {
				re = "[^/.]+"
			}
			if err := group(rule[i+1:i+m[1]], re); err != nil {
				return p, err
			}
			i += m[1]
			continue
		}
		b.WriteString(regexp.QuoteMeta(rule[i : i+1]))
		i++
	}
	b.WriteString("$")
	var err error
	p.re, err = regexp.Compile(b.String())
	return p, err
}

// match returns the captured values by place, or nil.
func (p pattern) match(s string) []string {
	m := p.re.FindStringSubmatch(s)
	if m == nil {
		return nil
	}
	return m[1:]
}

// replace puts the captured values into text.
func (p pattern) replace(text string, values []string) string {
	for i, name := range p.names {
		text = strings.ReplaceAll(text, ":"+name, values[i])
	}
	return text
}

func matchAny(list []pattern, s string) bool {
	for _, p := range list {
		if p.re.MatchString(s) {
			return true
		}
	}
	return false
}

// splitURL cuts a URL into what precedes the query, the query with its
// question mark and the fragment with its hash.
func splitURL(s string) (path, query, fragment string) {
	if i := strings.IndexByte(s, '#'); i >= 0 {
		s, fragment = s[:i], s[i:]
	}
	if i := strings.IndexByte(s, '?'); i >= 0 {
		s, query = s[:i], s[i:]
	}
	return s, query, fragment
}

// ruleURL checks a URL in a rule and brings it into the form that rules are
// compared in. The error is the sentence that the user sees.
func ruleURL(token string, onlyRelative, ports, query bool) (string, error) {
	clean := func(p string) string {
		p, q, f := splitURL(p)
		p = normalizePath(p)
		if !query {
			return p
		}
		return p + q + f
	}
	if m := absolute.FindStringSubmatch(token); m != nil {
		if onlyRelative {
			return "", fmt.Errorf("only relative URLs are allowed; skipping absolute URL %s", token)
		}
		if !ports && portSuffix.MatchString(m[1]) {
			return "", fmt.Errorf("specifying ports is not supported; skipping absolute URL %s", token)
		}
		return "https://" + m[1] + clean("/"+m[2]), nil
	}
	if !strings.HasPrefix(token, "/") {
		if !onlyRelative {
			return "", fmt.Errorf("URLs should either be relative (begin with a forward-slash) or use HTTPS (begin with https://); got %s", token)
		}
		token = "/" + token
	}
	return clean(token), nil
}

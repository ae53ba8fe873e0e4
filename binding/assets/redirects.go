package assets

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// redirects are the rules of a _redirects file: those without splat or
// placeholder are found by their path, the others are tried in order after
// them.
type redirects struct {
	static  map[string]redirect
	dynamic []redirect
}

type redirect struct {
	to string
	// status is 200 for a rewrite: another file is served under this path.
	status  int
	pattern pattern // of dynamic rules
}

var (
	inlineComment = regexp.MustCompile(`\s+#.*$`)
	toIndex       = regexp.MustCompile(`/index(.html)?$`)
	statuses      = []int{200, 301, 302, 303, 307, 308}
)

// parseRedirects reads a _redirects file. Lines it cannot use become warnings.
// html says that html_handling is on, which makes a redirect to /index a loop.
//
// Source: https://developers.cloudflare.com/workers/static-assets/redirects/
func parseRedirects(text string, html bool) (redirects, []string) {
	list := redirects{static: map[string]redirect{}}
	var warnings []string
	warn := func(line int, format string, args ...any) {
		warnings = append(warnings, fmt.Sprintf("_redirects:%d: ", line)+fmt.Sprintf(format, args...))
	}
	seen := map[string]bool{}
	number, static, dynamic := 0, 0, 0
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\uFEFF"), "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if utf8.RuneCountInString(line) > MaxLineLength {
			warn(number, "the line exceeds the maximum length of %d characters and is ignored", MaxLineLength)
			continue
		}
		tokens := strings.Fields(inlineComment.ReplaceAllString(line, ""))
		if len(tokens) < 2 || len(tokens) > 3 {
			warn(number, "expected 2 or 3 words (from, to and perhaps a status), got %d", len(tokens))
			continue
		}
		from, err := ruleURL(tokens[0], true, false, false)
		if err != nil {
			warn(number, "%v", err)
			continue
		}
		// After the first dynamic rule all are dynamic, so that order counts.
		isDynamic := dynamic > 0 || strings.Contains(from, "*") || placeholder.MatchString(from)
		if isDynamic {
			if dynamic++; dynamic > MaxDynamicRedirects {
				warn(number, "the maximum number of dynamic rules is %d; the rest of the file is ignored", MaxDynamicRedirects)
				return list, warnings
			}
		} else if static++; static > MaxStaticRedirects {
			warn(number, "the maximum number of static rules is %d; the line is ignored", MaxStaticRedirects)
			continue
		}
		to, err := ruleURL(tokens[1], false, true, true)
		if err != nil {
			warn(number, "%v", err)
			continue
		}
		rule := redirect{to: to, status: http.StatusFound}
		if len(tokens) == 3 {
			rule.status, err = strconv.Atoi(tokens[2])
			if err != nil || !slices.Contains(statuses, rule.status) {
				warn(number, "valid status codes are 200, 301, 302 (default), 303, 307 and 308; got %s", tokens[2])
				continue
			}
		}
		relative := !absolute.MatchString(to)
		switch {
		case relative && toIndex.MatchString(to) && (strings.HasSuffix(from, "/*") || html && strings.HasSuffix(from, "/")):
			warn(number, "the rule would redirect for ever, since /index and .html are stripped and lead back to it; it is ignored")
			continue
		case seen[from]:
			warn(number, "there is already a rule for path %s; the line is ignored", from)
			continue
		case rule.status == http.StatusOK && !relative:
			warn(number, "proxy (200) redirects can only point to relative paths; got %s", to)
			continue
		}
		seen[from] = true
		if !isDynamic {
			list.static[from] = rule
			continue
		}
		if rule.pattern, err = rulePattern(from); err != nil {
			warn(number, "%v", err)
			continue
		}
		list.dynamic = append(list.dynamic, rule)
	}
	return list, warnings
}

// match finds the rule for a path and its target with the captured parts.
func (l redirects) match(path string) (rule redirect, to string, ok bool) {
	if rule, ok := l.static[path]; ok {
		return rule, rule.to, true
	}
	for _, rule := range l.dynamic {
		values := rule.pattern.match(path)
		if values == nil {
			continue
		}
		to := strings.TrimSpace(rule.pattern.replace(rule.to, values))
		if !scheme.MatchString(to) {
			to = oneSlash(to) // a splat must not make "//host" of a path
		}
		return rule, to, true
	}
	return redirect{}, "", false
}

// location is the Location header for a redirect to a URL: a path when it
// stays on this origin. The request's query is kept unless the target has one.
func location(r *http.Request, to string) string {
	target, query, fragment := splitURL(to)
	if query == "" {
		query = search(r)
	}
	if strings.HasPrefix(target, "//") {
		target = origin(r) + ":" + target
	}
	if scheme.MatchString(target) {
		u, err := url.Parse(target)
		if err != nil || u.Scheme != origin(r) || !strings.EqualFold(u.Host, r.Host) {
			return target + query + fragment
		}
		target = u.EscapedPath()
	}
	return normalizePath(target) + query + fragment
}

// origin is the scheme by which the client reached us.
func origin(r *http.Request) string {
	if r.URL.Scheme != "" {
		return r.URL.Scheme
	}
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

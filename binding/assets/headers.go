package assets

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// headerRule is one path of _headers with what it sets and detaches.
type headerRule struct {
	path    string
	pattern pattern
	set     []headerLine
	unset   []string
}

type headerLine struct{ name, value string }

// forbidden are headers that describe the message on the wire: they are ours
// to write.
var forbidden = []string{"Connection", "Content-Length", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// parseHeaders reads a _headers file. Lines it cannot use become warnings.
//
// Source: https://developers.cloudflare.com/workers/static-assets/headers/
func parseHeaders(text string) (rules []headerRule, warnings []string) {
	warn := func(line int, format string, args ...any) {
		warnings = append(warnings, fmt.Sprintf("_headers:%d: ", line)+fmt.Sprintf(format, args...))
	}
	var rule *headerRule
	ruleLine := 0
	finish := func() {
		if rule == nil {
			return
		}
		if len(rule.set)+len(rule.unset) == 0 {
			warn(ruleLine, "no headers specified for %s", rule.path)
			return
		}
		// The last of several rules for one path counts, in the first's place.
		i := slices.IndexFunc(rules, func(r headerRule) bool { return r.path == rule.path })
		if i < 0 {
			rules = append(rules, *rule)
			return
		}
		warn(ruleLine, "this rule replaces an earlier one for path %s", rule.path)
		rules[i] = *rule
	}
	skip := false // the lines of a rule whose path is bad
	number, paths := 0, 0
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
		if isPath(line) {
			finish()
			rule, skip = nil, false
			if paths++; paths > MaxHeaderRules {
				warn(number, "the maximum number of rules is %d; the rest of the file is ignored", MaxHeaderRules)
				return rules, warnings
			}
			path, err := ruleURL(line, false, false, false)
			var p pattern
			if err == nil {
				p, err = rulePattern(path)
			}
			if err != nil {
				warn(number, "%v", err)
				skip = true
				paths--
				continue
			}
			rule, ruleLine = &headerRule{path: path, pattern: p}, number
			continue
		}
		if skip {
			continue
		}
		if rule == nil {
			warn(number, "expected a path beginning with a forward-slash before the headers, got %s", line)
			continue
		}
		if name, ok := strings.CutPrefix(line, "! "); ok && !strings.Contains(line, ":") {
			rule.unset = append(rule.unset, http.CanonicalHeaderKey(strings.TrimSpace(name)))
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch canonical := http.CanonicalHeaderKey(name); {
		case !ok:
			warn(number, "expected a header (name: value), got %s", line)
		case name == "":
			warn(number, "no header name specified")
		case value == "":
			warn(number, "no header value specified for %s", name)
		case !isToken(name) || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
			warn(number, "%q is not a valid header", line)
		case slices.Contains(forbidden, canonical):
			warn(number, "header %s cannot be set", name)
		default:
			rule.add(canonical, value)
		}
	}
	finish()
	return rules, warnings
}

// add joins the values of one name within a rule.
func (r *headerRule) add(name, value string) {
	for i := range r.set {
		if r.set[i].name == name {
			r.set[i].value += ", " + value
			return
		}
	}
	r.set = append(r.set, headerLine{name, value})
}

// isPath tells a path line from a header line.
func isPath(line string) bool {
	before, _, found := strings.Cut(line, "://")
	return line[0] == '/' || found && before != "" && !strings.ContainsAny(before, " \t")
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// applyHeaders runs the rules that match, in order: the first rule to name a
// header replaces what the assets set, later ones add to it.
func applyHeaders(rules []headerRule, r *http.Request, path string, header http.Header) {
	if len(rules) == 0 {
		return
	}
	host := (&url.URL{Host: r.Host}).Hostname()
	var set []string
	for _, rule := range rules {
		subject := path
		if rule.pattern.host {
			subject = "https://" + host + path
		}
		values := rule.pattern.match(subject)
		if values == nil {
			continue
		}
		for _, name := range rule.unset {
			delete(header, name)
		}
		for _, line := range rule.set {
			value := rule.pattern.replace(line.value, values)
			if slices.Contains(set, line.name) {
				header[line.name] = append(header[line.name], value)
				continue
			}
			header[line.name] = []string{value}
			set = append(set, line.name)
		}
	}
}

package rules

import (
	"regexp"
	"strconv"
	"strings"
)

// valueFunctions are those that mostly make the values of rewrites and
// redirects.
func valueFunctions() []Function {
	return []Function{
		{Signature: "regex_replace(source String, regular_expression String, replacement String): String", only: where{phases: transform | Redirect, value: true}, min: 3, max: 3, build: buildRegexReplace},
		{Signature: "wildcard_replace(source String, wildcard_pattern String, replacement String, flags String?): String", only: where{phases: URLRewrite | Redirect, value: true}, min: 3, max: 4, build: buildWildcardReplace},
		{Signature: "remove_query_args(field String, query_param String, …): String", only: where{phases: transform, value: true}, min: 2, max: -1, build: buildRemoveQueryArgs},
		{Signature: "to_string(Integer | Boolean | IP address): String", only: where{phases: transform | Redirect, value: true}, min: 1, max: 1, build: buildToString},
		{Signature: "uuidv4(source String): String", only: where{phases: transform, value: true}, min: 1, max: 1, build: buildUUID},
	}
}

// replacement is a text with references to what was captured.
type replacement struct {
	texts  []string // one more than groups
	groups []int
}

// newReplacement reads "/a/${1}", where $$ is a dollar sign.
func (a *arguments) newReplacement(i int) (*replacement, error) {
	s, err := a.textLit(i)
	if err != nil {
		return nil, err
	}
	r := &replacement{}
	var b strings.Builder
	for at := 0; at < len(s); at++ {
		rest := s[at:]
		end := strings.IndexByte(rest, '}')
		switch {
		case rest[0] != '$':
			b.WriteByte(rest[0])
		case strings.HasPrefix(rest, "$$"):
			b.WriteByte('$')
			at++
		case strings.HasPrefix(rest, "${") && end > 0:
			n, err := strconv.Atoi(rest[2:end])
			if err != nil || n < 0 || rest[2] == '+' {
				return nil, a.fail(a.values[i].at, "%s is not a reference such as ${1}", rest[:end+1])
			}
			r.texts, r.groups = append(r.texts, b.String()), append(r.groups, n)
			b.Reset()
			at += end
		default:
			return nil, a.fail(a.values[i].at, "in a replacement a dollar sign is written $$, and a reference ${1}")
		}
	}
	if len(r.groups) > 8 {
		return nil, a.fail(a.values[i].at, "a replacement has at most eight references")
	}
	r.texts = append(r.texts, b.String())
	return r, nil
}

// expand puts captures of s, as pairs of indexes, into b.
func (r *replacement) expand(b []byte, s string, captures []int) []byte {
	for i, n := range r.groups {
		b = append(b, r.texts[i]...)
		if 2*n+1 < len(captures) && captures[2*n] >= 0 {
			b = append(b, s[captures[2*n]:captures[2*n+1]]...)
		}
	}
	return append(b, r.texts[len(r.groups)]...)
}

// pattern is argument i of regex_replace.
func (a *arguments) pattern(i int) (*regexp.Regexp, error) {
	if _, err := a.textLit(i); err != nil {
		return nil, err
	}
	return a.regex(a.values[i].lit)
}

func buildRegexReplace(a *arguments) (value, error) {
	re, err := a.pattern(1)
	if err != nil {
		return value{}, err
	}
	with, err := a.newReplacement(2)
	if err != nil {
		return value{}, err
	}
	return liftText(a, String, func(c *Context, s string) (string, bool) {
		m := re.FindStringSubmatchIndex(s)
		if m == nil {
			return s, true
		}
		b := append(make([]byte, 0, 2*len(s)), s[:m[0]]...)
		return text(append(with.expand(b, s, m), s[m[1]:]...)), true
	})
}

func buildWildcardReplace(a *arguments) (value, error) {
	if err := a.field(0); err != nil {
		return value{}, err
	}
	pattern, err := a.textLit(1)
	if err != nil {
		return value{}, err
	}
	with, err := a.newReplacement(2)
	if err != nil {
		return value{}, err
	}
	flags, err := a.flags(3, "s")
	if err != nil {
		return value{}, err
	}
	w, err := newWildcard(pattern, flags == "")
	if err != nil {
		return value{}, a.fail(a.values[1].at, "%v", err)
	}
	return liftText(a, String, func(c *Context, s string) (string, bool) {
		captures := append(make([]int, 0, 20), 0, len(s))
		if !w.captures(s, func(from, to int) { captures = append(captures, from, to) }) {
			return s, true
		}
		return text(with.expand(make([]byte, 0, 2*len(s)), s, captures)), true
	})
}

func buildRemoveQueryArgs(a *arguments) (value, error) {
	v := a.values[0]
	if v.name != "http.request.uri.query" && v.name != "raw.http.request.uri.query" {
		return v, a.fail(v.at, "argument 1 of remove_query_args must be http.request.uri.query or raw.http.request.uri.query")
	}
	names := map[string]bool{}
	for i := 1; i < len(a.values); i++ {
		name, err := a.textLit(i)
		if err != nil {
			return v, err
		}
		names[name] = true
	}
	return liftText(a, String, func(c *Context, s string) (string, bool) {
		b := c.bytes.take(len(s))[:0]
		kept := 0
		for rest := s; rest != ""; {
			var arg string
			arg, rest, _ = strings.Cut(rest, "&")
			if name, _, _ := strings.Cut(arg, "="); names[name] {
				continue
			}
			if kept++; kept > 1 {
				b = append(b, '&')
			}
			b = append(b, arg...)
		}
		return text(b), true
	})
}

func buildToString(a *arguments) (value, error) {
	x := a.values[0]
	if x.lit != nil || x.typ.Arrays > 0 || x.typ.Map || x.typ.Kind == String {
		return x, a.wrong(0, "an Integer, Boolean or IP address")
	}
	switch x.typ.Kind {
	case Int:
		return lift(x, String, func(c *Context, v int64) (string, bool) {
			return text(strconv.AppendInt(c.bytes.take(20)[:0], v, 10)), true
		}), nil
	case IP:
		return lift(x, String, func(c *Context, v address) (string, bool) {
			return text(v.AppendTo(c.bytes.take(46)[:0])), true
		}), nil
	}
	if x.each {
		return lift(x, String, func(_ *Context, v bool) (string, bool) { return strconv.FormatBool(v), true }), nil
	}
	is := x.fn.(test)
	return value{typ: text1, fn: getter[string](func(c *Context) (string, bool) { return strconv.FormatBool(is(c)), true })}, nil
}

func buildUUID(a *arguments) (value, error) {
	if err := a.field(0); err != nil {
		return value{}, err
	}
	return liftText(a, String, func(c *Context, seed string) (string, bool) {
		if len(seed) < 16 {
			return "", false
		}
		var id [16]byte
		copy(id[:], seed)
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // RFC 9562: version 4, variant 10
		const hex = "0123456789abcdef"
		b := c.bytes.take(36)[:0]
		for i, v := range id {
			if i == 4 || i == 6 || i == 8 || i == 10 {
				b = append(b, '-')
			}
			b = append(b, hex[v>>4], hex[v&15])
		}
		return text(b), true
	})
}

package rules

import (
	"net/textproto"
	"slices"
	"strings"
)

// arrayFunctions are those that take or return arrays and maps.
func arrayFunctions() []Function {
	return []Function{
		{Signature: "any(Array<Boolean>): Boolean", min: 1, max: 1, build: func(a *arguments) (value, error) { return buildQuantifier(a, true) }},
		{Signature: "all(Array<Boolean>): Boolean", min: 1, max: 1, build: func(a *arguments) (value, error) { return buildQuantifier(a, false) }},
		{Signature: "len(String | Array | Map): Integer", min: 1, max: 1, build: buildLen},
		{Signature: "concat(String | Array, …): String | Array", min: 2, max: -1, build: buildConcat},
		{Signature: "join(items Array<String>, separator String): String", only: where{phases: transform | Firewall | CustomErrors}, min: 2, max: 2, build: buildJoin},
		{Signature: "split(input String, separator String, limit Integer): Array<String>", only: where{phases: ResponseHeaders | CustomErrors}, min: 3, max: 3, build: buildSplit},
		{Signature: "has_key(map Map, key String): Boolean", min: 2, max: 2, build: buildHasKey},
		{Signature: "has_value(Map | Array, value String): Boolean", min: 2, max: 2, build: buildHasValue},
	}
}

func buildQuantifier(a *arguments, found bool) (value, error) {
	v := a.values[0]
	get, ok := v.fn.(getter[[]bool])
	if !ok {
		return v, a.wrong(0, "a condition on each element, as in "+a.call.name+`(http.request.headers["accept"][*] eq "a")`)
	}
	return value{typ: boolean, fn: test(func(c *Context) bool {
		in, _ := get(c)
		return slices.Contains(in, found) == found
	})}, nil
}

func buildLen(a *arguments) (value, error) {
	x := a.values[0]
	size := func(get func(c *Context) (int, bool)) (value, error) {
		return value{typ: integer, fn: getter[int64](func(c *Context) (int64, bool) {
			n, ok := get(c)
			return int64(n), ok
		})}, nil
	}
	if x.lit == nil && !x.each {
		switch get := x.fn.(type) {
		case getter[[]string]:
			return size(func(c *Context) (int, bool) { v, ok := get(c); return len(v), ok })
		case getter[[]int64]:
			return size(func(c *Context) (int, bool) { v, ok := get(c); return len(v), ok })
		case getter[[]bool]:
			return size(func(c *Context) (int, bool) { v, ok := get(c); return len(v), ok })
		case getter[[][]string]:
			return size(func(c *Context) (int, bool) { v, ok := get(c); return len(v), ok })
		case getter[multimap]:
			return size(func(c *Context) (int, bool) { v, ok := get(c); return len(v.all(c)), ok })
		}
	}
	if x.lit == nil && x.each && x.typ == texts {
		return lift(x, Int, func(_ *Context, v []string) (int64, bool) { return int64(len(v)), true }), nil
	}
	if x.lit != nil && x.lit.kind == word || x.lit == nil && x.typ != text1 {
		return x, a.wrong(0, "a string, an array or a map")
	}
	return liftText(a, Int, func(_ *Context, s string) (int64, bool) { return int64(len(s)), true })
}

func buildConcat(a *arguments) (value, error) {
	if v := a.values[0]; v.lit == nil && v.typ == texts && !v.each {
		return concatArrays(a)
	}
	var rest []getter[string]
	for i := 1; i < len(a.values); i++ {
		get, err := a.text(i)
		if err != nil {
			return value{}, err
		}
		rest = append(rest, get)
	}
	x, err := a.textValue(0)
	if err != nil {
		return x, err
	}
	if x.each {
		return lift(x, String, func(c *Context, s string) (string, bool) { return concat(c, s, true, rest) }), nil
	}
	first := x.fn.(getter[string])
	return value{typ: text1, fn: getter[string](func(c *Context) (string, bool) {
		s, ok := first(c)
		return concat(c, s, ok, rest)
	})}, nil
}

// concat puts together what is there; all missing is missing.
func concat(c *Context, s string, ok bool, rest []getter[string]) (string, bool) {
	parts := c.strings.take(1 + len(rest))
	parts[0] = s
	for i, get := range rest {
		part, is := get(c)
		if !is {
			part = ""
		}
		parts[i+1], ok = part, ok || is
	}
	return c.join(parts...), ok
}

func concatArrays(a *arguments) (value, error) {
	var arrays []getter[[]string]
	for i, v := range a.values {
		get, ok := v.fn.(getter[[]string])
		if !ok || v.each {
			return v, a.wrong(i, "an array of strings, as the first is")
		}
		arrays = append(arrays, get)
	}
	return value{typ: texts, fn: getter[[]string](func(c *Context) ([]string, bool) {
		lists := c.lists.take(len(arrays))
		n, found := 0, false
		for i, get := range arrays {
			list, ok := get(c)
			lists[i], n, found = list, n+len(list), found || ok
		}
		out := c.strings.take(n)[:0]
		for _, list := range lists {
			out = append(out, list...)
		}
		return out, found
	})}, nil
}

func buildJoin(a *arguments) (value, error) {
	items, ok := a.values[0].fn.(getter[[]string])
	if !ok || a.values[0].each {
		return value{}, a.wrong(0, "an array of strings")
	}
	separator, err := a.text(1)
	if err != nil {
		return value{}, err
	}
	return value{typ: text1, fn: getter[string](func(c *Context) (string, bool) {
		list, ok := items(c)
		sep, is := separator(c)
		if !ok || !is {
			return "", false
		}
		return joinTexts(c, list, sep), true
	})}, nil
}

func joinTexts(c *Context, list []string, separator string) string {
	if len(list) == 1 {
		return list[0]
	}
	n := 0
	for _, s := range list {
		n += len(s) + len(separator)
	}
	b := c.bytes.take(n)[:0]
	for i, s := range list {
		if i > 0 {
			b = append(b, separator...)
		}
		b = append(b, s...)
	}
	return text(b)
}

func buildSplit(a *arguments) (value, error) {
	if a.values[0].each {
		return value{}, a.wrong(0, "a single string")
	}
	input, err := a.text(0)
	if err != nil {
		return value{}, err
	}
	separator, err := a.textLit(1)
	if err != nil {
		return value{}, err
	}
	if separator == "" {
		return value{}, a.fail(a.values[1].at, "the separator must not be empty")
	}
	limit, err := a.intLit(2, 1, 128)
	if err != nil {
		return value{}, err
	}
	return value{typ: texts, fn: getter[[]string](func(c *Context) ([]string, bool) {
		s, ok := input(c)
		if !ok {
			return nil, false
		}
		out := c.strings.take(min(strings.Count(s, separator)+1, int(limit)))[:0]
		for len(out) < int(limit)-1 {
			part, rest, more := strings.Cut(s, separator)
			if !more {
				break
			}
			out, s = append(out, part), rest
		}
		return append(out, s), true
	})}, nil
}

func buildHasKey(a *arguments) (value, error) {
	m, ok := a.values[0].fn.(getter[multimap])
	if !ok || a.values[0].each {
		return value{}, a.wrong(0, "a map")
	}
	key, err := a.textLit(1)
	if err != nil {
		return value{}, err
	}
	if a.values[0].headerKeys {
		if key != strings.ToLower(key) {
			return value{}, a.fail(a.values[1].at, "the names of headers are in lower case here: write %q", strings.ToLower(key))
		}
		key = textproto.CanonicalMIMEHeaderKey(key)
	}
	return value{typ: boolean, fn: test(func(c *Context) bool {
		v, _ := m(c)
		_, ok := v.get(c, key)
		return ok
	})}, nil
}

func buildHasValue(a *arguments) (value, error) {
	x := a.values[0]
	want, err := a.text(1)
	if err != nil {
		return value{}, err
	}
	switch get := x.fn.(type) {
	case getter[[]string]:
		if x.each {
			break
		}
		return value{typ: boolean, fn: test(func(c *Context) bool {
			list, _ := get(c)
			s, ok := want(c)
			return ok && slices.Contains(list, s)
		})}, nil
	case getter[multimap]:
		return value{typ: boolean, fn: test(func(c *Context) bool {
			m, _ := get(c)
			s, ok := want(c)
			for _, list := range m.all(c) {
				if ok && slices.Contains(list, s) {
					return true
				}
			}
			return false
		})}, nil
	}
	return x, a.wrong(0, "a map, or an array of strings")
}

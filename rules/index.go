package rules

import (
	"net/textproto"
	"strings"
)

func (c *compiler) index(n *index) (value, error) {
	v, err := c.expression(n.x)
	if err != nil {
		return v, err
	}
	wrong := func() (value, error) {
		return v, c.fail(n.at, "%s has no %s: it is of type %s", c.source[n.x.where().from:n.x.where().to], c.source[n.at.from:n.at.to], v.shape())
	}
	if n.key == nil {
		return each(v, n, wrong)
	}
	if n.key.kind != word {
		if !v.typ.Map || v.each {
			return wrong()
		}
		key := n.key.value
		if v.headerKeys {
			if key != strings.ToLower(key) {
				return v, c.fail(n.key.span, "the names of headers are in lower case here: write %q", strings.ToLower(key))
			}
			key = textproto.CanonicalMIMEHeaderKey(key)
		}
		get := v.fn.(getter[multimap])
		v.typ.Map, v.at = false, n.span
		v.fn = getter[[]string](func(c *Context) ([]string, bool) {
			m, _ := get(c)
			return m.get(c, key)
		})
		return v, nil
	}
	i, err := c.integer(n.key)
	if err != nil {
		return v, err
	}
	if i < 0 || i > 1<<31 {
		return v, c.fail(n.key.span, "an index is a number from 0")
	}
	if v.typ.Map || v.typ.Arrays == 0 {
		return wrong()
	}
	v.typ.Arrays--
	v.at = n.span
	switch fn := v.fn.(type) {
	case getter[[]string]:
		v.fn = at(fn, int(i))
	case getter[[]int64]:
		v.fn = at(fn, int(i))
	case getter[[]bool]:
		get := at(fn, int(i))
		v.fn = test(func(c *Context) bool { is, _ := get(c); return is })
	case getter[[][]string]:
		v.fn = at(fn, int(i))
		if v.each {
			v.fn = getter[[]string](func(c *Context) ([]string, bool) {
				lists, ok := fn(c)
				out := c.strings.take(len(lists))[:0]
				for _, list := range lists {
					if int(i) < len(list) {
						out = append(out, list[i])
					}
				}
				return out, ok
			})
		}
	}
	return v, nil
}

// at takes one element of an array.
func at[T any](get getter[[]T], i int) getter[T] {
	return func(c *Context) (v T, ok bool) {
		list, _ := get(c)
		if i >= len(list) {
			return v, false
		}
		return list[i], true
	}
}

// each is x[*]. On arrays in arrays it can be written twice.
func each(v value, n *index, wrong func() (value, error)) (value, error) {
	if !v.typ.Map && v.typ.Arrays == 0 {
		return wrong()
	}
	v.at = n.span
	switch {
	case v.typ.Map && v.each:
		return wrong()
	case v.typ.Map:
		get := v.fn.(getter[multimap])
		v.fn = getter[[][]string](func(c *Context) ([][]string, bool) {
			m, ok := get(c)
			return m.all(c), ok
		})
		v.typ.Map = false
	case v.each:
		get, ok := v.fn.(getter[[][]string])
		if !ok {
			return wrong()
		}
		v.fn = getter[[]string](func(c *Context) ([]string, bool) {
			lists, ok := get(c)
			n := 0
			for _, list := range lists {
				n += len(list)
			}
			out := c.strings.take(n)[:0]
			for _, list := range lists {
				out = append(out, list...)
			}
			return out, ok
		})
		v.typ.Arrays--
	default:
		v.typ.Arrays--
	}
	v.each = true
	return v, nil
}

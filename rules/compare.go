package rules

import (
	"cmp"
	"net/netip"
	"regexp"
	"strings"
)

func (c *compiler) compare(n *compare) (value, error) {
	x, err := c.expression(n.x)
	if err != nil {
		return x, err
	}
	switch {
	case x.lit != nil:
		return x, c.fail(x.at, "a literal cannot be compared; write the field first, as in http.host eq %s", x.lit.text)
	case x.typ.Map || x.typ.Arrays > 0:
		return x, c.fail(n.at, "%s compares single values; this is of type %s%s", n.op, x.shape(), hint(x))
	case x.typ.Kind == Bool:
		return x, c.fail(n.at, "a Boolean needs no operator: write it alone, or not before it")
	}
	v := value{typ: boolean, at: n.span}
	if x.each {
		v.typ.Arrays = 1
	}
	switch x.typ.Kind {
	case String:
		f, err := c.compareText(n)
		v.fn = compared(x, f)
		return v, err
	case Int:
		f, err := c.compareInt(n)
		v.fn = compared(x, f)
		return v, err
	}
	f, err := c.compareIP(n)
	v.fn = compared(x, f)
	return v, err
}

// compared applies f to the value x, or to each of its elements.
func compared[T any](x value, f func(T) bool) any {
	if x.each {
		get := x.fn.(getter[[]T])
		return getter[[]bool](func(c *Context) ([]bool, bool) {
			in, _ := get(c)
			out := c.bools.take(len(in))
			for i := range in {
				out[i] = f(in[i])
			}
			return out, true
		})
	}
	get := x.fn.(getter[T])
	return test(func(c *Context) bool {
		v, ok := get(c)
		return ok && f(v)
	})
}

// ordered compares with want.
func ordered[T cmp.Ordered](op string, want T) func(T) bool {
	switch op {
	case "eq":
		return func(v T) bool { return v == want }
	case "ne":
		return func(v T) bool { return v != want }
	case "lt":
		return func(v T) bool { return v < want }
	case "le":
		return func(v T) bool { return v <= want }
	case "gt":
		return func(v T) bool { return v > want }
	case "ge":
		return func(v T) bool { return v >= want }
	}
	return nil
}

func (c *compiler) unfit(n *compare, kind Kind) error {
	return c.fail(n.at, "%s cannot be used on a value of type %s", n.op, kindNames[kind])
}

func (c *compiler) compareText(n *compare) (func(string) bool, error) {
	switch y := n.y.(type) {
	case *listName:
		l, err := c.named(y, Hostnames)
		if err != nil {
			return nil, err
		}
		return l.hosts.contains, nil
	case *set:
		return c.textSet(y)
	}
	lit := n.y.(*literal)
	if n.op == "matches" {
		re, err := c.regex(lit)
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	want, err := c.bytes(lit)
	if err != nil {
		return nil, err
	}
	switch n.op {
	case "contains":
		return func(v string) bool { return strings.Contains(v, want) }, nil
	case "wildcard", "strict wildcard":
		w, err := newWildcard(want, n.op == "wildcard")
		if err != nil {
			return nil, c.fail(lit.span, "%v", err)
		}
		return w.match, nil
	}
	if f := ordered(n.op, want); f != nil {
		return f, nil
	}
	return nil, c.unfit(n, String)
}

func (c *compiler) textSet(y *set) (func(string) bool, error) {
	values := map[string]bool{}
	var few []string
	for _, it := range y.items {
		if it.to != nil {
			return nil, c.fail(between(it.from.span, it.to.span), "there are no ranges of strings")
		}
		s, err := c.bytes(it.from)
		if err != nil {
			return nil, err
		}
		if !values[s] {
			few = append(few, s)
		}
		values[s] = true
	}
	if len(few) > 6 {
		return func(v string) bool { return values[v] }, nil
	}
	return func(v string) bool {
		for _, s := range few {
			if s == v {
				return true
			}
		}
		return false
	}, nil
}

// regex compiles a pattern. Go's expressions are Unicode's as it is, so that
// Rust's flag for it is left out.
func (c *compiler) regex(lit *literal) (*regexp.Regexp, error) {
	if lit.kind == word {
		return nil, c.fail(lit.span, "matches needs a regular expression in quotes")
	}
	re, err := regexp.Compile(strings.TrimPrefix(lit.value, "(?u)"))
	if err != nil {
		return nil, c.fail(lit.span, "%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re, nil
}

func (c *compiler) compareInt(n *compare) (func(int64) bool, error) {
	switch y := n.y.(type) {
	case *listName:
		return nil, c.fail(y.span, "there are no lists of integers; write them out, as in {8000..8009 8080}")
	case *set:
		var ranges spans[int64]
		for _, it := range y.items {
			from, err := c.integer(it.from)
			if err != nil {
				return nil, err
			}
			to := from
			if it.to != nil {
				if to, err = c.integer(it.to); err != nil {
					return nil, err
				}
				if to < from {
					return nil, c.fail(between(it.from.span, it.to.span), "the range ends before it begins")
				}
			}
			ranges = append(ranges, from, to)
		}
		sorted := ranges.sort(cmp.Compare[int64])
		return func(v int64) bool { return sorted.contains(v, cmp.Compare[int64]) }, nil
	}
	want, err := c.integer(n.y.(*literal))
	if err != nil {
		return nil, err
	}
	if n.op == "bitwise_and" {
		return func(v int64) bool { return v&want != 0 }, nil
	}
	if f := ordered(n.op, want); f != nil {
		return f, nil
	}
	return nil, c.unfit(n, Int)
}

func (c *compiler) compareIP(n *compare) (func(address) bool, error) {
	switch y := n.y.(type) {
	case *listName:
		l, err := c.named(y, IPs)
		if err != nil {
			return nil, err
		}
		return l.Contains, nil
	case *set:
		return c.ipSet(y)
	}
	lit := n.y.(*literal)
	want, err := c.ip(lit)
	if err != nil {
		return nil, err
	}
	switch n.op {
	case "eq":
		return func(v address) bool { return v == want }, nil
	case "ne":
		return func(v address) bool { return v != want }, nil
	}
	f := ordered(n.op, 0)
	if f == nil {
		return nil, c.unfit(n, IP)
	}
	return func(v address) bool { return v.Is4() == want.Is4() && f(v.Compare(want)) }, nil
}

func (c *compiler) ipSet(y *set) (func(address) bool, error) {
	var ranges spans[address]
	for _, it := range y.items {
		if it.to != nil {
			from, err := c.ip(it.from)
			if err != nil {
				return nil, err
			}
			to, err := c.ip(it.to)
			if err != nil {
				return nil, err
			}
			if from.Is4() != to.Is4() || to.Less(from) {
				return nil, c.fail(between(it.from.span, it.to.span), "the range must lead from a lower to a higher address of one kind")
			}
			ranges = append(ranges, from, to)
			continue
		}
		p, err := c.network(it.from)
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, p.Addr(), last(p))
	}
	sorted := ranges.sort(netip.Addr.Compare)
	return func(v address) bool { return sorted.contains(v, netip.Addr.Compare) }, nil
}

// named finds a list and checks what is in it.
func (c *compiler) named(y *listName, kind ListKind) (*List, error) {
	var l *List
	if c.list != nil {
		l = c.list(y.name)
	}
	if l == nil {
		return nil, c.fail(y.span, "there is no list %q", y.name)
	}
	if l.kind != kind {
		return nil, c.fail(y.span, "the list %q has %s, and %s are wanted here", y.name, l.kind, kind)
	}
	return l, nil
}

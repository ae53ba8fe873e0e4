package rules

import (
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// bytes reads a literal as a string: in quotes, or bytes such as 01:2e:f3.
func (c *compiler) bytes(lit *literal) (string, error) {
	if lit.kind != word {
		return lit.value, nil
	}
	var b []byte
	for i := 0; i < len(lit.text); i += 3 {
		part := lit.text[i:min(i+2, len(lit.text))]
		v, err := strconv.ParseUint(part, 16, 8)
		if err != nil || len(part) < 2 || i+2 < len(lit.text) && strings.IndexByte(":-.", lit.text[i+2]) < 0 || i+3 == len(lit.text) {
			return "", c.fail(lit.span, "expected a string in quotes")
		}
		b = append(b, byte(v))
	}
	if len(b) < 2 {
		return "", c.fail(lit.span, "expected a string in quotes")
	}
	return string(b), nil
}

// integer reads a decimal, hexadecimal (0x1f) or octal (017) number.
func (c *compiler) integer(lit *literal) (int64, error) {
	if lit.kind != word {
		return 0, c.fail(lit.span, "expected an integer without quotes")
	}
	digits, base := lit.text, 10
	if hex, ok := strings.CutPrefix(digits, "0x"); ok {
		digits, base = hex, 16
	} else if strings.HasPrefix(digits, "0") {
		base = 8
	}
	n, err := strconv.ParseInt(digits, base, 64)
	if err != nil || base != 10 && digits[0] == '-' {
		return 0, c.fail(lit.span, "expected an integer of 64 bits, such as 80, -1 or 0x1f")
	}
	return n, nil
}

func (c *compiler) ip(lit *literal) (netip.Addr, error) {
	if lit.kind != word {
		return netip.Addr{}, c.fail(lit.span, "expected an IP address without quotes")
	}
	a, err := netip.ParseAddr(lit.text)
	if err != nil {
		if strings.Contains(lit.text, "/") {
			return a, c.fail(lit.span, "a network is not one address; write: in {%s}", lit.text)
		}
		return a, c.fail(lit.span, "expected an IP address")
	}
	return a, nil
}

func (c *compiler) network(lit *literal) (netip.Prefix, error) {
	if lit.kind == word && strings.Contains(lit.text, "/") {
		p, err := netip.ParsePrefix(lit.text)
		if err != nil {
			return p, c.fail(lit.span, "expected a network such as 192.0.2.0/24")
		}
		if p.Masked() != p {
			return p, c.fail(lit.span, "the network has bits after its %d first: write %s", p.Bits(), p.Masked())
		}
		return p, nil
	}
	a, err := c.ip(lit)
	return netip.PrefixFrom(a, a.BitLen()), err
}

// last is the last address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// textLiteral gives a literal the type string.
func (c *compiler) textLiteral(v value) (value, error) {
	s, err := c.bytes(v.lit)
	if err != nil {
		return v, err
	}
	return value{typ: text1, lit: v.lit, at: v.at, fn: getter[string](func(*Context) (string, bool) { return s, true })}, nil
}

// spans are ranges of values, each with its first and its last.
type spans[T any] []T

// sort brings ranges into order and joins those that overlap.
func (s spans[T]) sort(compare func(a, b T) int) spans[T] {
	type pair struct{ from, to T }
	var list []pair
	for i := 0; i < len(s); i += 2 {
		list = append(list, pair{s[i], s[i+1]})
	}
	slices.SortFunc(list, func(a, b pair) int { return compare(a.from, b.from) })
	var out spans[T]
	for _, p := range list {
		if n := len(out); n > 0 && compare(p.from, out[n-1]) <= 0 {
			if compare(p.to, out[n-1]) > 0 {
				out[n-1] = p.to
			}
			continue
		}
		out = append(out, p.from, p.to)
	}
	return out
}

// contains takes ranges that are sorted.
func (s spans[T]) contains(v T, compare func(a, b T) int) bool {
	// The first range that ends at v or after it.
	i := 2 * sort.Search(len(s)/2, func(i int) bool { return compare(s[2*i+1], v) >= 0 })
	return i < len(s) && compare(s[i], v) <= 0
}

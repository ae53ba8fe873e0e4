package rules

import (
	"net/http"
	"net/textproto"
	"sort"
	"strings"
)

// multimap is a value of type Map<Array<String>>.
type multimap interface {
	// get returns the values of a key.
	get(c *Context, key string) ([]string, bool)
	// all returns the values of every key.
	all(c *Context) [][]string
}

// pairs are names with values, in order.
type pairs struct{ names, values []string }

func (p *pairs) reset() {
	if cap(p.names) > maxKept/16 {
		*p = pairs{}
		return
	}
	clear(p.names)
	clear(p.values)
	p.names, p.values = p.names[:0], p.values[:0]
}

func (p *pairs) add(name, value string) {
	p.names, p.values = append(p.names, name), append(p.values, value)
}

func (p *pairs) get(c *Context, key string) ([]string, bool) {
	n := 0
	for _, name := range p.names {
		if name == key {
			n++
		}
	}
	if n == 0 {
		return nil, false
	}
	values := c.strings.take(n)[:0]
	for i, name := range p.names {
		if name == key {
			values = append(values, p.values[i])
		}
	}
	return values, true
}

func (p *pairs) all(c *Context) [][]string {
	order := c.sorted(len(p.names), func(i, j int64) int { return strings.Compare(p.names[i], p.names[j]) })
	values, lists := c.strings.take(len(order))[:0], c.lists.take(len(order))[:0]
	for from := 0; from < len(order); {
		first, name := len(values), p.names[order[from]]
		for ; from < len(order) && p.names[order[from]] == name; from++ {
			values = append(values, p.values[order[from]])
		}
		lists = append(lists, values[first:])
	}
	return lists
}

// query takes a query or a form apart, without decoding anything.
//
// Source: https://developers.cloudflare.com/ruleset-engine/rules-language/fields/reference/http.request.uri.args/
func (p *pairs) query(text string) *pairs {
	p.reset()
	for text != "" {
		var arg string
		arg, text, _ = strings.Cut(text, "&")
		if arg != "" {
			name, value, _ := strings.Cut(arg, "=")
			p.add(name, value)
		}
	}
	return p
}

// cookie takes headers of cookies apart; names are decoded.
func (p *pairs) cookie(c *Context, lines []string) *pairs {
	p.reset()
	for _, line := range lines {
		for line != "" {
			var cookie string
			cookie, line, _ = strings.Cut(line, ";")
			if cookie = textproto.TrimString(cookie); cookie != "" {
				name, value, _ := strings.Cut(cookie, "=")
				p.add(decodeURL(c, name, false), value)
			}
		}
	}
	return p
}

// header lists the fields of h by name.
func (p *pairs) header(h http.Header, host string) *pairs {
	p.reset()
	if host != "" {
		p.add("Host", host)
	}
	for name, values := range h {
		for _, v := range values {
			p.add(name, v)
		}
	}
	sort.Stable(byName{p})
	return p
}

// byName sorts pairs.
type byName struct{ *pairs }

func (p byName) Len() int           { return len(p.names) }
func (p byName) Less(i, j int) bool { return p.names[i] < p.names[j] }
func (p byName) Swap(i, j int) {
	p.names[i], p.names[j] = p.names[j], p.names[i]
	p.values[i], p.values[j] = p.values[j], p.values[i]
}

// headers is a header as a map. Keys are in canonical form: the compiler sees
// to it.
type headers http.Header

func (h headers) get(_ *Context, key string) ([]string, bool) {
	v, ok := h[key]
	return v, ok
}

func (h headers) all(c *Context) [][]string {
	lists := c.lists.take(len(h))[:0]
	for _, v := range h {
		lists = append(lists, v)
	}
	return lists
}

// requestHeaders is that of a request, with the host.
type requestHeaders http.Header

func (h requestHeaders) get(c *Context, key string) ([]string, bool) {
	if key == "Host" && c.HostHeader != "" {
		return c.one(c.HostHeader), true
	}
	return headers(h).get(c, key)
}

func (h requestHeaders) all(c *Context) [][]string {
	lists := headers(h).all(c)
	if c.HostHeader == "" {
		return lists
	}
	more := c.lists.take(len(lists) + 1)
	more[copy(more, lists)] = c.one(c.HostHeader)
	return more
}

// one is an array of one string.
func (c *Context) one(s string) []string {
	list := c.strings.take(1)
	list[0] = s
	return list
}

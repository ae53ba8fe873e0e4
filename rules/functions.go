package rules

import (
	"slices"
	"strconv"
	"strings"
)

// Function is something that expressions can call.
type Function struct {
	Name string
	// Signature has the types of its arguments, and of what it returns.
	Signature string
	// Where says in which rules it can be used; empty is in all.
	Where string

	only     where
	min, max int // arguments; max -1 is any number
	build    func(a *arguments) (value, error)
}

// Functions lists every function.
//
// Source: https://developers.cloudflare.com/ruleset-engine/rules-language/functions/
func Functions() []Function { return functions }

var functions, functionByName = func() ([]Function, map[string]*Function) {
	list := slices.Concat(textFunctions(), valueFunctions(), arrayFunctions(), otherFunctions())
	byName := map[string]*Function{}
	for i := range list {
		f := &list[i]
		f.Name, _, _ = strings.Cut(f.Signature, "(")
		if why := f.only.refuses(use{}); why != "" {
			f.Where = strings.TrimPrefix(why, "can be used ")
		}
		byName[f.Name] = f
	}
	return list, byName
}()

// arguments are those of one call.
type arguments struct {
	*compiler
	call   *call
	values []value
}

func (c *compiler) call(n *call) (value, error) {
	f := functionByName[n.name]
	if f == nil {
		if fieldByName[n.name] != nil {
			return value{}, c.fail(n.at, "%s is a field: write it without parentheses", n.name)
		}
		return value{}, c.fail(n.at, "there is no function %q%s", n.name, nearest(n.name, functionByName))
	}
	if f.build == nil {
		return value{}, c.fail(n.at, "%s is a function of Magic Firewall, which sees packets; there are only requests here", n.name)
	}
	if why := f.only.refuses(c.use); why != "" {
		return value{}, c.fail(n.at, "the function %s %s", n.name, why)
	}
	if len(n.args) < f.min || f.max >= 0 && len(n.args) > f.max {
		return value{}, c.fail(n.span, "%d arguments do not fit %s", len(n.args), f.Signature)
	}
	if n.name == "regex_replace" || n.name == "wildcard_replace" {
		if c.replacing != "" {
			return value{}, c.fail(n.at, "%s cannot be nested in %s", n.name, c.replacing)
		}
		if c.replaces[n.name]++; c.replaces[n.name] > 1 {
			return value{}, c.fail(n.at, "%s can be used once in an expression", n.name)
		}
		c.replacing = n.name
		defer func() { c.replacing = "" }()
	}
	a := &arguments{compiler: c, call: n}
	for i, arg := range n.args {
		v, err := c.expression(arg)
		if err != nil {
			return v, err
		}
		if v.each && i > 0 {
			return v, c.fail(v.at, "[*] can be used in the first argument of a function only")
		}
		a.values = append(a.values, v)
	}
	v, err := f.build(a)
	v.at = n.span
	return v, err
}

func (a *arguments) wrong(i int, want string) error {
	v := a.values[i]
	if v.lit != nil {
		return a.fail(v.at, "argument %d of %s must be %s; this is a literal", i+1, a.call.name, want)
	}
	return a.fail(v.at, "argument %d of %s must be %s; this is of type %s%s", i+1, a.call.name, want, v.shape(), hint(v))
}

// field refuses a literal as argument i.
func (a *arguments) field(i int) error {
	if a.values[i].lit != nil {
		return a.wrong(i, "a field, or made of one")
	}
	return nil
}

// textValue is argument i, a string or the elements of an array of them.
func (a *arguments) textValue(i int) (value, error) {
	v := a.values[i]
	if v.lit != nil {
		if v.lit.kind == word {
			return v, a.wrong(i, "a string")
		}
		return a.textLiteral(v)
	}
	if v.typ != text1 {
		return v, a.wrong(i, "a string")
	}
	return v, nil
}

// text is argument i, a single string.
func (a *arguments) text(i int) (getter[string], error) {
	v, err := a.textValue(i)
	if err != nil {
		return nil, err
	}
	return v.fn.(getter[string]), nil
}

// textLit is argument i, a string in quotes.
func (a *arguments) textLit(i int) (string, error) {
	v := a.values[i]
	if v.lit == nil || v.lit.kind == word {
		if v.lit == nil {
			return "", a.fail(v.at, "argument %d of %s must be a string in quotes", i+1, a.call.name)
		}
		return "", a.wrong(i, "a string in quotes")
	}
	return v.lit.value, nil
}

// intLit is argument i, an integer that is written out.
func (a *arguments) intLit(i int, low, high int64) (int64, error) {
	v := a.values[i]
	if v.lit == nil {
		return 0, a.fail(v.at, "argument %d of %s must be a number that is written out", i+1, a.call.name)
	}
	n, err := a.integer(v.lit)
	if err == nil && (n < low || n > high) {
		return 0, a.fail(v.at, "argument %d of %s must be from %d to %d", i+1, a.call.name, low, high)
	}
	return n, err
}

// flags is argument i, a string in quotes with letters of allowed; empty if
// there are fewer arguments.
func (a *arguments) flags(i int, allowed string) (string, error) {
	if i >= len(a.values) {
		return "", nil
	}
	s, err := a.textLit(i)
	if err == nil && strings.Trim(s, allowed) != "" {
		return "", a.fail(a.values[i].at, "argument %d of %s has the letters %s only", i+1, a.call.name, strconv.Quote(allowed))
	}
	return s, err
}

// lift applies f to x, or to each of its elements, and leaves out those for
// which it has no result.
func lift[T, R any](x value, kind Kind, f func(c *Context, v T) (R, bool)) value {
	if x.each {
		get := x.fn.(getter[[]T])
		return value{typ: Type{Kind: kind, Arrays: 1}, fn: getter[[]R](func(c *Context) ([]R, bool) {
			in, ok := get(c)
			out := poolOf[R](&c.memory).take(len(in))[:0]
			for _, v := range in {
				if r, ok := f(c, v); ok {
					out = append(out, r)
				}
			}
			return out, ok
		})}
	}
	get := x.fn.(getter[T])
	apply := func(c *Context) (r R, ok bool) {
		v, ok := get(c)
		if !ok {
			return r, false
		}
		return f(c, v)
	}
	return value{typ: Type{Kind: kind}, fn: scalar(apply)}
}

// scalar makes a test of a getter of a Boolean.
func scalar[R any](get getter[R]) any {
	if is, ok := any(get).(getter[bool]); ok {
		return test(func(c *Context) bool { v, _ := is(c); return v })
	}
	return get
}

// liftText is lift for a first argument that is a string.
func liftText[R any](a *arguments, kind Kind, f func(c *Context, s string) (R, bool)) (value, error) {
	x, err := a.textValue(0)
	if err != nil {
		return x, err
	}
	return lift(x, kind, f), nil
}

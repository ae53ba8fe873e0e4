package rules

import "fmt"

// getter evaluates to a value, or to none.
type getter[T any] func(c *Context) (T, bool)

// test evaluates to true or false. What is missing is false.
type test func(c *Context) bool

// value is a compiled part of an expression.
type value struct {
	typ Type
	// fn is a getter of the type: of string, int64, address, []string, [][]string,
	// []int64, []bool or multimap. For a single Boolean it is a test. With each, it
	// is a getter of a slice of them.
	fn any
	// each: the elements of an array, by [*].
	each bool
	// lit is set for a literal, which has no type before it is used.
	lit *literal
	// name is set for a field, with or without an index.
	name string
	// headerKeys: see Field.
	headerKeys bool
	at         span
}

// shape is the type of v with its elements.
func (v value) shape() string {
	if v.each {
		return "elements of " + Type{v.typ.Kind, v.typ.Arrays + 1, v.typ.Map}.String()
	}
	return v.typ.String()
}

type compiler struct {
	source string
	use    use
	list   func(name string) *List
	body   bool
	// replaces counts calls of the functions that may be called once. replacing is
	// the one whose arguments are being compiled.
	replaces  map[string]int
	replacing string
}

func (c *compiler) fail(at span, format string, args ...any) error {
	return &Error{Source: c.source, Offset: at.from, Length: at.to - at.from, Message: fmt.Sprintf(format, args...)}
}

func (c *compiler) whole(source string) (value, error) {
	e, err := Parse(source)
	if err != nil {
		return value{}, err
	}
	c.source, c.replaces = source, map[string]int{}
	return c.expression(e.root)
}

func (c *compiler) expression(n node) (value, error) {
	switch n := n.(type) {
	case *logic:
		return c.logic(n)
	case *not:
		return c.not(n)
	case *group:
		v, err := c.expression(n.x)
		v.at = n.span
		return v, err
	case *compare:
		return c.compare(n)
	case *call:
		return c.call(n)
	case *field:
		return c.field(n)
	case *index:
		return c.index(n)
	}
	return value{lit: n.(*literal), at: n.where()}, nil
}

// condition is an expression that is true or false, or an array of that.
func (c *compiler) condition(n node) (value, error) {
	v, err := c.expression(n)
	if err != nil {
		return v, err
	}
	if v.each && v.typ == boolean {
		v.each, v.typ.Arrays = false, 1
	}
	if v.lit != nil || v.each || v.typ.Kind != Bool || v.typ.Arrays > 1 || v.typ.Map {
		return v, c.fail(n.where(), "this is not a condition: it must be true or false%s", hint(v))
	}
	return v, nil
}

func (c *compiler) logic(n *logic) (value, error) {
	var tests []test
	var arrays []getter[[]bool]
	for _, item := range n.items {
		v, err := c.condition(item)
		if err != nil {
			return v, err
		}
		switch fn := v.fn.(type) {
		case test:
			tests = append(tests, fn)
		case getter[[]bool]:
			arrays = append(arrays, fn)
		}
		if len(tests) > 0 && len(arrays) > 0 {
			return v, c.fail(item.where(), "%s combines single conditions or conditions of each element, not both; put the latter into any(…) or all(…)", n.op)
		}
	}
	if len(arrays) > 0 {
		return value{typ: Type{Kind: Bool, Arrays: 1}, fn: combineEach(n.op, arrays), at: n.span}, nil
	}
	return value{typ: boolean, fn: combine(n.op, tests), at: n.span}, nil
}

func combine(op string, tests []test) test {
	switch {
	case op == "and" && len(tests) == 2:
		a, b := tests[0], tests[1]
		return func(c *Context) bool { return a(c) && b(c) }
	case op == "or" && len(tests) == 2:
		a, b := tests[0], tests[1]
		return func(c *Context) bool { return a(c) || b(c) }
	case op == "xor":
		return func(c *Context) bool {
			odd := false
			for _, t := range tests {
				odd = odd != t(c)
			}
			return odd
		}
	}
	all := op == "and"
	return func(c *Context) bool {
		for _, t := range tests {
			if t(c) != all {
				return !all
			}
		}
		return all
	}
}

// combineEach combines arrays element by element, as far as all of them go.
func combineEach(op string, arrays []getter[[]bool]) getter[[]bool] {
	return func(c *Context) ([]bool, bool) {
		var out []bool
		for i, get := range arrays {
			in, _ := get(c)
			if i == 0 {
				out = c.bools.take(len(in))
				copy(out, in)
				continue
			}
			out = out[:min(len(out), len(in))]
			for j := range out {
				switch op {
				case "and":
					out[j] = out[j] && in[j]
				case "or":
					out[j] = out[j] || in[j]
				default:
					out[j] = out[j] != in[j]
				}
			}
		}
		return out, true
	}
}

func (c *compiler) not(n *not) (value, error) {
	v, err := c.condition(n.x)
	if err != nil {
		return v, err
	}
	switch fn := v.fn.(type) {
	case test:
		v.fn = test(func(c *Context) bool { return !fn(c) })
	case getter[[]bool]:
		v.fn = getter[[]bool](func(c *Context) ([]bool, bool) {
			in, _ := fn(c)
			out := c.bools.take(len(in))
			for i := range in {
				out[i] = !in[i]
			}
			return out, true
		})
	}
	v.at, v.name = n.span, ""
	return v, nil
}

func (c *compiler) field(n *field) (value, error) {
	if n.name == "true" || n.name == "false" {
		is := n.name == "true"
		return value{typ: boolean, fn: test(func(*Context) bool { return is }), at: n.span}, nil
	}
	f := fieldByName[n.name]
	switch {
	case f == nil && functionByName[n.name] != nil:
		return value{}, c.fail(n.span, "%s is a function: write %s", n.name, functionByName[n.name].Signature)
	case f == nil:
		return value{}, c.fail(n.span, "there is no field %q%s", n.name, nearest(n.name, fieldByName))
	case f.Unknown != "":
		return value{}, c.fail(n.span, "the field %s is not known here: %s", n.name, f.Unknown)
	}
	if why := f.only.refuses(c.use); why != "" {
		return value{}, c.fail(n.span, "the field %s %s", n.name, why)
	}
	c.body = c.body || f.body
	v := value{typ: f.Type, fn: f.source, name: n.name, headerKeys: f.headerKeys, at: n.span}
	if get, ok := v.fn.(getter[bool]); ok {
		v.fn = test(func(c *Context) bool { is, _ := get(c); return is })
	}
	return v, nil
}

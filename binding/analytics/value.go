package analytics

import (
	"math"
	"slices"
	"strings"
	"time"
)

// expression compiles an expression, in which an alias stands for its own.
func (c *compiler) expression(e *expr, s *scope) (value, error) {
	if c.nodes++; c.nodes > maxNodes {
		return value{}, invalid("the query is too large: with all aliases replaced it has more than %d parts", maxNodes)
	}
	v, err := c.part(e, s)
	if err == nil && (v.constant || s.grouped[v.sql]) {
		v.bare = ""
	}
	return v, err
}

func (c *compiler) part(e *expr, s *scope) (value, error) {
	switch e.kind {
	case literal:
		return c.literal(e.value)
	case columnKind:
		if it, ok := s.aliases[e.name]; ok && !s.using[e.name] {
			return c.item(it, s)
		}
		if v, ok := s.columns[e.name]; ok {
			if v.constant {
				return c.literal(v.literal)
			}
			return v, nil
		}
		return value{}, invalid("unable to find column: %s", e.name)
	}
	if f, ok := aggregates[e.name]; ok {
		return c.aggregate(f, e, s)
	}
	f, ok := functions[e.name]
	if !ok {
		return value{}, invalid("unsupported function: %s", e.name)
	}
	if e.params != nil || e.distinct {
		return value{}, invalid("%s takes its arguments in one pair of brackets and without DISTINCT", e.name)
	}
	args := make([]value, len(e.args))
	v := value{constant: true}
	for i, a := range e.args {
		var err error
		if args[i], err = c.expression(a, s); err != nil {
			return v, err
		}
		v.constant = v.constant && args[i].constant
		v.aggregate = v.aggregate || args[i].aggregate
		if v.bare == "" {
			v.bare = args[i].bare
		}
	}
	if err := f.check(e.name, args); err != nil {
		return v, err
	}
	var err error
	v.sql, v.typ, err = f.build(c, args)
	return v, err
}

func (c *compiler) literal(x any) (value, error) {
	v := value{constant: true, literal: x}
	switch x := x.(type) {
	case string:
		v.sql, v.typ = c.bind(x), stringType
	case uint64:
		if x > math.MaxInt64 {
			return v, invalid("the number %d is too large", x)
		}
		v.sql, v.typ = c.bind(int64(x)), literalType(x)
	case float64:
		v.sql, v.typ = c.bind(x), floatType
	case bool:
		v.sql, v.typ = c.bind(x), boolType
	case interval:
		v.typ = typ{class: span}
	}
	return v, nil
}

func (c *compiler) aggregate(f aggregate, e *expr, s *scope) (value, error) {
	if s.within {
		return value{}, invalid("%s is an aggregate function within another one", e.name)
	}
	if s.grouped == nil {
		return value{}, invalid("the aggregate function %s is not allowed in WHERE or GROUP BY; use HAVING", e.name)
	}
	s.within = true
	defer func() { s.within = false }()
	compileAll := func(list []*expr) ([]value, error) {
		values := make([]value, len(list))
		for i, a := range list {
			var err error
			if values[i], err = c.expression(a, s); err != nil {
				return nil, err
			}
			if values[i].typ.class == span {
				return nil, invalid("%s does not take an INTERVAL", e.name)
			}
		}
		return values, nil
	}
	params, err := compileAll(e.params)
	if err != nil {
		return value{}, err
	}
	args, err := compileAll(e.args)
	if err != nil {
		return value{}, err
	}
	if params, args, err = f.arrange(e, params, args); err != nil {
		return value{}, err
	}
	v := value{aggregate: true}
	v.sql, v.typ, err = f.build(c, e.distinct, params, args)
	return v, err
}

// zone checks the name of a time zone, which must be written down.
func zone(v value) (string, error) {
	name, ok := v.literal.(string)
	if !ok || v.typ.class != text {
		return "", invalid("a time zone must be a string that is written down")
	}
	if name == "Local" || strings.Contains(name, "..") {
		return "", invalid("unknown time zone: %s", name)
	}
	if _, err := time.LoadLocation(name); err != nil {
		return "", invalid("unknown time zone: %s", name)
	}
	if slices.Contains([]string{"", "UTC", "Etc/UTC"}, name) {
		return "", nil
	}
	return name, nil
}

package analytics

import (
	"fmt"
)

// aggregate is a function of the rows of a group. takes is as in [function], of
// its arguments. params: how many there may be in the first of two pairs of
// brackets.
type aggregate struct {
	min, max int
	takes    string
	params   int
	distinct bool // DISTINCT is allowed
	build    func(c *compiler, distinct bool, params, args []value) (string, typ, error)
}

// arrange checks the arguments and puts them where they belong.
func (f aggregate) arrange(e *expr, params, args []value) (_, _ []value, err error) {
	if e.name == "quantileweighted" && len(params) == 0 && len(args) == 3 {
		params, args = args[:1], args[1:] // as it used to be called
	}
	if e.distinct && !f.distinct {
		return nil, nil, invalid("%s does not take DISTINCT", e.name)
	}
	if e.distinct && len(args) == 0 {
		return nil, nil, invalid("%s(DISTINCT) needs a column", e.name)
	}
	if len(params) > f.params {
		return nil, nil, invalid("%s takes %s in its first brackets, not %d", e.name, howMany(f.params, f.params), len(params))
	}
	return params, args, function{min: f.min, max: f.max, takes: f.takes}.check(e.name, args)
}

// aggregates are those functions, by their names in lower case.
var aggregates = map[string]aggregate{
	"count": {0, 1, "a", 0, true, func(_ *compiler, distinct bool, _, a []value) (string, typ, error) {
		if distinct {
			return "count(DISTINCT " + a[0].sql + ")", uint64Type, nil
		}
		return "count(*)", uint64Type, nil
	}},
	"sum": {1, 1, "n", 0, true, func(_ *compiler, distinct bool, _, a []value) (string, typ, error) {
		return filled("sum", distinct, a[0], ""), summed(a[0].typ), nil
	}},
	"avg": {1, 1, "n", 0, true, func(_ *compiler, distinct bool, _, a []value) (string, typ, error) {
		return "avg(" + word(distinct) + a[0].sql + ")", floatType, nil
	}},
	"min": {1, 1, "a", 0, false, extreme("min")}, "max": {1, 1, "a", 0, false, extreme("max")},
	"countif": {1, 1, "n", 0, false, func(_ *compiler, _ bool, _, a []value) (string, typ, error) {
		return "count(*) FILTER (WHERE " + a[0].sql + ")", uint64Type, nil
	}},
	"sumif": {2, 2, "n", 0, false, func(_ *compiler, _ bool, _, a []value) (string, typ, error) {
		return filled("sum", false, a[0], " FILTER (WHERE "+a[1].sql+")"), summed(a[0].typ), nil
	}},
	"avgif": {2, 2, "n", 0, false, func(_ *compiler, _ bool, _, a []value) (string, typ, error) {
		return "avg(" + a[0].sql + ") FILTER (WHERE " + a[1].sql + ")", floatType, nil
	}},
	"quantileexactweighted": quantile, "quantileweighted": quantile,
	"argmin": {2, 2, "a", 0, false, chosen("wae_argmin")}, "argmax": {2, 2, "a", 0, false, chosen("wae_argmax")},
	"first_value": {1, 1, "a", 0, false, chosen("wae_first")}, "last_value": {1, 1, "a", 0, false, chosen("wae_last")},
	"topk":         {1, 1, "a", 1, false, most},
	"topkweighted": {2, 2, "an", 1, false, most},
}

func word(distinct bool) string {
	if distinct {
		return "DISTINCT "
	}
	return ""
}

// summed is the type of a sum.
func summed(t typ) typ {
	switch {
	case t.class == float:
		return floatType
	case t.signed:
		return int64Type
	}
	return uint64Type
}

// filled calls an aggregate of SQLite that is NULL of no rows, where ClickHouse's
// is 0 or empty. Whole numbers whose sum is too large become a float.
func filled(name string, distinct bool, v value, filter string) string {
	empty := "0"
	if v.typ.class == text {
		empty = "''"
	}
	arg := v.sql
	if name == "sum" && v.typ.class == float {
		empty = "0.0"
	}
	return fmt.Sprintf("coalesce(%s(%s%s)%s, %s)", name, word(distinct), arg, filter, empty)
}

func extreme(name string) func(*compiler, bool, []value, []value) (string, typ, error) {
	return func(_ *compiler, _ bool, _, a []value) (string, typ, error) {
		return filled(name, false, a[0], ""), a[0].typ, nil
	}
}

// chosen is an aggregate of runtime.go that answers with one of the values of its
// first argument.
func chosen(name string) func(*compiler, bool, []value, []value) (string, typ, error) {
	return func(_ *compiler, _ bool, _, a []value) (string, typ, error) {
		list := make([]any, len(a))
		for i, x := range a {
			list[i] = x
		}
		return calling(name, list...), a[0].typ, nil
	}
}

var quantile = aggregate{2, 2, "n", 1, false, func(_ *compiler, _ bool, params, a []value) (string, typ, error) {
	level := 0.5
	if len(params) == 1 {
		switch q := params[0].literal.(type) {
		case float64:
			level = q
		case uint64:
			level = float64(q)
		default:
			return "", typ{}, invalid("the level of a quantile must be a number that is written down")
		}
	}
	if level > 1 {
		return "", typ{}, invalid("the level of a quantile must be 0 to 1, not %v", level)
	}
	return fmt.Sprintf("wae_quantile(%v, %s, %s)", level, a[0].sql, a[1].sql), a[0].typ, nil
}}

// maxTop bounds the N of topK.
const maxTop = 65_536

func most(c *compiler, _ bool, params, a []value) (string, typ, error) {
	n := uint64(10)
	if len(params) == 1 {
		var ok bool
		if n, ok = params[0].literal.(uint64); !ok || n < 1 || n > maxTop {
			return "", typ{}, invalid("topK takes a whole number from 1 to %d that is written down", maxTop)
		}
	}
	weight := "1"
	if len(a) == 2 {
		weight = a[1].sql
	}
	t := a[0].typ
	if t.class == array {
		return "", typ{}, invalid("topK does not take arrays")
	}
	return fmt.Sprintf("wae_topk(%d, %s, %s)", n, c.shown(a[0]), weight), typ{class: array, of: &t}, nil
}

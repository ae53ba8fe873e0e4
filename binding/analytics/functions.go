package analytics

import (
	"fmt"
	"strings"
)

// function is an operator or a function of each row. takes has a letter for each
// argument, the last one for all that follow: s a string, n a number, t a time,
// i an interval, a anything but an interval, ? anything.
type function struct {
	min, max int
	takes    string
	build    func(c *compiler, args []value) (string, typ, error)
}

// many is a max without bound.
const many = 1000

var kindNames = map[byte]string{'s': "a String", 'n': "a number", 't': "a DateTime", 'i': "an INTERVAL", 'a': "a value"}

// check says what is wrong with the arguments.
func (f function) check(name string, args []value) error {
	if len(args) < f.min || len(args) > f.max {
		return invalid("%s takes %s, not %d", name, howMany(f.min, f.max), len(args))
	}
	for i, a := range args {
		k := f.takes[min(i, len(f.takes)-1)]
		fits := map[byte]bool{'?': true, 's': a.typ.class == text, 'n': a.typ.number(), 't': a.typ.time(), 'i': a.typ.class == span, 'a': a.typ.class != span}[k]
		if !fits {
			return invalid("argument %d of %s must be %s, not %s", i+1, name, kindNames[k], a.typ)
		}
	}
	return nil
}

func howMany(low, high int) string {
	switch {
	case low == high && low == 1:
		return "1 argument"
	case low == high:
		return fmt.Sprintf("%d arguments", low)
	case high == many:
		return fmt.Sprintf("at least %d arguments", low)
	}
	return fmt.Sprintf("%d to %d arguments", low, high)
}

// String is the value in SQLite's words, for [calling].
func (v value) String() string { return v.sql }

// calling writes a call of a function of SQLite.
func calling(name string, args ...any) string {
	list := make([]string, len(args))
	for i, a := range args {
		list[i] = fmt.Sprint(a)
	}
	return name + "(" + strings.Join(list, ", ") + ")"
}

// native is a function that SQLite has, or runtime.go gives it, with the same
// arguments.
func native(sqlName string, count int, takes string, result typ) function {
	return function{count, count, takes, func(_ *compiler, args []value) (string, typ, error) {
		list := make([]any, len(args))
		for i, a := range args {
			list[i] = a
		}
		return calling(sqlName, list...), result, nil
	}}
}

// functions are those of each row, by their names in lower case.
var functions = map[string]function{
	"or": joined("OR"), "and": joined("AND"),
	"not": {1, 1, "n", func(_ *compiler, a []value) (string, typ, error) { return "(NOT " + a[0].sql + ")", uint8Type, nil }},
	"=":   compared("="), "==": compared("="), "<>": compared("<>"), "!=": compared("<>"),
	"<": compared("<"), ">": compared(">"), "<=": compared("<="), ">=": compared(">="),
	"in": {2, many, "a", func(c *compiler, a []value) (string, typ, error) {
		list := make([]string, len(a)-1)
		for i := range list {
			left, right, err := c.sides(a[0], a[i+1])
			if err != nil {
				return "", typ{}, err
			}
			a[0].sql, list[i] = left, right
		}
		return "(" + a[0].sql + " IN (" + strings.Join(list, ", ") + "))", uint8Type, nil
	}},
	"between": {3, 3, "a", func(c *compiler, a []value) (string, typ, error) {
		left, low, err := c.sides(a[0], a[1])
		if err != nil {
			return "", typ{}, err
		}
		_, high, err := c.sides(a[0], a[2])
		return "(" + left + " BETWEEN " + low + " AND " + high + ")", uint8Type, err
	}},
	"like": {2, 2, "s", func(c *compiler, a []value) (string, typ, error) {
		return calling("wae_like", a[0], a[1], 0), uint8Type, nil
	}},
	"ilike": {2, 2, "s", func(c *compiler, a []value) (string, typ, error) {
		return calling("wae_like", a[0], a[1], 1), uint8Type, nil
	}},

	"+": {2, 2, "?", plus}, "-": {2, 2, "?", minus},
	"*": {2, 2, "n", func(_ *compiler, a []value) (string, typ, error) {
		return "(" + a[0].sql + " * " + a[1].sql + ")", wider(a[0].typ, a[1].typ, false), nil
	}},
	"/": {2, 2, "n", func(_ *compiler, a []value) (string, typ, error) {
		return "(CAST(" + a[0].sql + " AS REAL) / " + a[1].sql + ")", floatType, nil
	}},
	"%": {2, 2, "n", func(_ *compiler, a []value) (string, typ, error) {
		if t, _ := common(a[0].typ, a[1].typ); t.class == float {
			return calling("wae_mod", a[0], a[1]), floatType, nil
		}
		return "(" + a[0].sql + " % " + a[1].sql + ")", typ{class: integer, bits: a[1].typ.width(), signed: a[0].typ.signed || a[1].typ.signed}, nil
	}},
	"negate": {1, 1, "n", func(_ *compiler, a []value) (string, typ, error) {
		t := a[0].typ
		if t.class != float {
			t = typ{class: integer, bits: min(64, 2*t.width()), signed: true}
			if a[0].literal != nil {
				t.bits = a[0].typ.width()
			}
		}
		return "(-" + a[0].sql + ")", t, nil
	}},
	"if": {3, 3, "a", func(_ *compiler, a []value) (string, typ, error) {
		t, ok := common(a[1].typ, a[2].typ)
		if !a[0].typ.number() {
			return "", t, invalid("the condition of if must be a number, not %s", a[0].typ)
		}
		if !ok {
			return "", t, invalid("the branches of if are of types %s and %s, which have nothing in common", a[1].typ, a[2].typ)
		}
		return calling("iif", a[0], a[1], a[2]), t, nil
	}},

	"intdiv": {2, 2, "n", func(_ *compiler, a []value) (string, typ, error) {
		t := typ{class: integer, bits: 64, signed: true}
		if a[0].typ.class == integer {
			t = a[0].typ
		}
		return "(CAST(" + a[0].sql + " AS INTEGER) / CAST(" + a[1].sql + " AS INTEGER))", t, nil
	}},
	"log": native("wae_log", 1, "n", floatType), "ln": native("wae_log", 1, "n", floatType),
	"pow":   native("wae_pow", 2, "n", floatType),
	"round": rounding("round"), "floor": rounding("floor"), "ceil": rounding("ceil"),
	"touint8": converted(uint8Type), "touint32": converted(uint32Type),

	"length": native("length", 1, "s", uint64Type),
	"empty":  {1, 1, "s", func(_ *compiler, a []value) (string, typ, error) { return "(" + a[0].sql + " = '')", uint8Type, nil }},
	"lower":  native("lower", 1, "s", stringType), "upper": native("upper", 1, "s", stringType),
	"lowerutf8": native("wae_lower", 1, "s", stringType), "tolower": native("wae_lower", 1, "s", stringType),
	"upperutf8": native("wae_upper", 1, "s", stringType), "toupper": native("wae_upper", 1, "s", stringType),
	"startswith": native("wae_starts", 2, "s", uint8Type), "endswith": native("wae_ends", 2, "s", uint8Type),
	"position": {2, 2, "s", func(_ *compiler, a []value) (string, typ, error) {
		return calling("instr", a[1], a[0]), uint64Type, nil
	}},
	"substring": {2, 3, "snn", func(_ *compiler, a []value) (string, typ, error) {
		if len(a) == 2 {
			return calling("substr", a[0], a[1]), stringType, nil
		}
		return calling("substr", a[0], a[1], "max("+a[2].sql+", 0)"), stringType, nil
	}},
	"format": {1, many, "sa", func(c *compiler, a []value) (string, typ, error) {
		args := []any{a[0]}
		for _, x := range a[1:] {
			args = append(args, c.shown(x))
		}
		return calling("wae_format", args...), stringType, nil
	}},
	"bin": {1, 1, "a", func(_ *compiler, a []value) (string, typ, error) { return calling("wae_bin", a[0]), stringType, nil }},
	"hex": {1, 1, "a", func(_ *compiler, a []value) (string, typ, error) { return calling("wae_hex", a[0]), stringType, nil }},
}

func init() {
	for name, f := range bitFunctions {
		functions[name] = f
	}
	for name, f := range timeFunctions {
		functions[name] = f
	}
}

func joined(word string) function {
	return function{2, many, "n", func(_ *compiler, args []value) (string, typ, error) {
		list := make([]string, len(args))
		for i, a := range args {
			list[i] = a.sql
		}
		return balanced(list, " "+word+" "), uint8Type, nil
	}}
}

// balanced joins a list with few brackets within each other: SQLite bounds the
// depth of expressions.
func balanced(list []string, sign string) string {
	if len(list) == 1 {
		return list[0]
	}
	half := len(list) / 2
	return "(" + balanced(list[:half], sign) + sign + balanced(list[half:], sign) + ")"
}

func compared(sign string) function {
	return function{2, 2, "a", func(c *compiler, a []value) (string, typ, error) {
		left, right, err := c.sides(a[0], a[1])
		return "(" + left + " " + sign + " " + right + ")", uint8Type, err
	}}
}

// sides makes two values comparable: a string that is written down beside a time
// is a time.
func (c *compiler) sides(a, b value) (left, right string, err error) {
	left, right = a.sql, b.sql
	if s, ok := b.literal.(string); ok && a.typ.time() && b.typ.class == text {
		right, err = c.writtenTime(s, a.typ)
		return left, right, err
	}
	if s, ok := a.literal.(string); ok && b.typ.time() && a.typ.class == text {
		left, err = c.writtenTime(s, b.typ)
		return left, right, err
	}
	if !comparable(a.typ, b.typ) {
		return "", "", invalid("a value of type %s cannot be compared with one of type %s", a.typ, b.typ)
	}
	return left, right, nil
}

func plus(c *compiler, a []value) (string, typ, error) {
	if a[0].typ.class == span {
		a[0], a[1] = a[1], a[0]
	}
	return c.sum(a[0], a[1], "+", 1)
}

func minus(c *compiler, a []value) (string, typ, error) { return c.sum(a[0], a[1], "-", -1) }

// sum adds numbers, or moves a time by an interval or by seconds.
func (c *compiler) sum(a, b value, sign string, factor int64) (string, typ, error) {
	switch {
	case a.typ.number() && b.typ.number():
		return "(" + a.sql + " " + sign + " " + b.sql + ")", wider(a.typ, b.typ, factor < 0), nil
	case a.typ.time() && b.typ.class == span:
		i := b.literal.(interval)
		return calling("wae_add", a, c.bind(factor*i.n), c.bind(i.unit), c.bind(a.typ.zone)), a.typ, nil
	case a.typ.class == dateTime && b.typ.class == integer:
		return "(" + a.sql + " " + sign + " " + b.sql + ")", a.typ, nil
	case a.typ.class == dateTime && b.typ.class == dateTime && factor < 0:
		return "(" + a.sql + " - " + b.sql + ")", typ{class: integer, bits: 32, signed: true}, nil
	}
	return "", typ{}, invalid("unsupported operation: %s %s %s", a.typ, sign, b.typ)
}

func rounding(mode string) function {
	return function{1, 2, "n", func(c *compiler, a []value) (string, typ, error) {
		digits := "0"
		if len(a) == 2 {
			digits = a[1].sql
		}
		if a[0].typ.class != float {
			return calling("CAST", calling("wae_round", c.bind(mode), a[0], digits)+" AS INTEGER"), a[0].typ, nil
		}
		return calling("wae_round", c.bind(mode), a[0], digits), floatType, nil
	}}
}

func converted(to typ) function {
	return function{1, 1, "a", func(_ *compiler, a []value) (string, typ, error) {
		return calling("wae_uint", a[0], to.bits), to, nil
	}}
}

// shown is a value as text shows it.
func (c *compiler) shown(v value) string {
	switch v.typ.class {
	case dateTime:
		return calling("wae_date", v, c.bind("%Y-%m-%d %H:%i:%S"), c.bind(v.typ.zone))
	case date:
		return calling("wae_date", v, c.bind("%Y-%m-%d"), "''")
	case boolean:
		return calling("iif", v, "'true'", "'false'")
	}
	return v.sql
}

// bitFunctions work on whole numbers, in as many bits as their types have.
var bitFunctions = map[string]function{
	"bitand": bitwise("and", 2), "bitor": bitwise("or", 2), "bitxor": bitwise("xor", 2), "bitnot": bitwise("not", 1),
	"bitcount": bitwise("count", 1), "bithammingdistance": bitwise("distance", 2), "bittest": bitwise("test", 2),
	"bitshiftleft": bitwise("left", 2), "bitshiftright": bitwise("right", 2),
	"bitrotateleft": bitwise("rotateleft", 2), "bitrotateright": bitwise("rotateright", 2),
}

func bitwise(what string, count int) function {
	return function{count, count, "n", func(c *compiler, a []value) (string, typ, error) {
		t := a[0].typ
		if count == 2 {
			switch what {
			case "and", "or", "xor":
				t, _ = common(t, a[1].typ)
			}
		}
		if t.class == float && what != "count" {
			return "", t, invalid("a bit function takes whole numbers; convert with toUInt32")
		}
		width := t.width()
		if t.class == float {
			width = 64
		}
		second := "0"
		if count == 2 {
			second = a[1].sql
		}
		switch what {
		case "count", "distance", "test":
			t = uint8Type
		}
		return calling("wae_bit", c.bind(what), a[0], second, width), t, nil
	}}
}

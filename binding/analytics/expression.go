package analytics

import (
	"slices"
	"strconv"
	"strings"
)

// levels are the binary operators from the loosest to the tightest.
var levels = [][]string{{"+", "-"}, {"*", "/", "%"}}

var comparisons = []string{"=", "==", "<", ">", "<=", ">=", "<>", "!="}

func operator(name string, args ...*expr) *expr { return &expr{kind: call, name: name, args: args} }

func (p *parser) expression() (*expr, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, invalid("the query is nested deeper than %d levels", maxDepth)
	}
	defer func() { p.depth-- }()
	return p.chain("OR", func() (*expr, error) { return p.chain("AND", p.negation) })
}

// chain reads what a word joins, as one call with all the arguments: long chains
// are not deep.
func (p *parser) chain(word string, one func() (*expr, error)) (*expr, error) {
	first, err := one()
	if err != nil || !p.is(word) {
		return first, err
	}
	args := []*expr{first}
	for p.word(word) {
		e, err := one()
		if err != nil {
			return nil, err
		}
		args = append(args, e)
	}
	return operator(strings.ToLower(word), args...), nil
}

func (p *parser) negation() (*expr, error) {
	not := 0
	for p.word("NOT") {
		not++
	}
	e, err := p.comparison()
	if err != nil || not == 0 {
		return e, err
	}
	e = operator("not", e)
	if not%2 == 0 {
		e = operator("not", e)
	}
	return e, nil
}

func (p *parser) comparison() (*expr, error) {
	left, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	for {
		t := p.peek()
		if t.kind == tokenSign && slices.Contains(comparisons, t.text) {
			p.take()
			right, err := p.binary(0)
			if err != nil {
				return nil, err
			}
			if left, err = p.deeper(operator(t.text, left, right)); err != nil {
				return nil, err
			}
			continue
		}
		if p.is("IS") {
			return nil, invalid("unsupported operator: IS; no column is NULL")
		}
		not := p.is("NOT") && len(p.tokens) > 1 && slices.Contains([]string{"IN", "BETWEEN", "LIKE", "ILIKE"}, strings.ToUpper(p.tokens[1].text))
		if not {
			p.take()
		}
		var e *expr
		switch {
		case p.word("IN"):
			e, err = p.in(left)
		case p.word("BETWEEN"):
			e, err = p.between(left)
		case p.is("LIKE"), p.is("ILIKE"):
			name := strings.ToLower(p.take().text)
			var pattern *expr
			pattern, err = p.binary(0)
			e = operator(name, left, pattern)
		default:
			return left, nil
		}
		if err != nil {
			return nil, err
		}
		if not {
			e = operator("not", e)
		}
		if left, err = p.deeper(e); err != nil {
			return nil, err
		}
	}
}

// deeper counts an operator that is applied to what came before it, so that a
// chain of them is no deeper than the query may be.
func (p *parser) deeper(e *expr) (*expr, error) {
	if depth(e) > maxDepth {
		return nil, invalid("the query is nested deeper than %d levels", maxDepth)
	}
	return e, nil
}

// depth looks along the left side, on which chains grow.
func depth(e *expr) (n int) {
	for ; len(e.args) > 0; e = e.args[0] {
		n++
	}
	return n
}

func (p *parser) in(left *expr) (*expr, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	if p.is("SELECT") {
		return nil, invalid("unsupported: IN (SELECT …); it takes a list of values")
	}
	values, err := list(p, p.expression)
	if err != nil {
		return nil, err
	}
	return operator("in", append([]*expr{left}, values...)...), p.expect(")")
}

func (p *parser) between(left *expr) (*expr, error) {
	low, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	if !p.word("AND") {
		return nil, p.unexpected("AND")
	}
	high, err := p.binary(0)
	return operator("between", left, low, high), err
}

func (p *parser) binary(level int) (*expr, error) {
	if level == len(levels) {
		return p.unary()
	}
	left, err := p.binary(level + 1)
	for err == nil {
		t := p.peek()
		if t.kind != tokenSign || !slices.Contains(levels[level], t.text) {
			return left, nil
		}
		p.take()
		var right *expr
		if right, err = p.binary(level + 1); err == nil {
			left, err = p.deeper(operator(t.text, left, right))
		}
	}
	return nil, err
}

func (p *parser) unary() (*expr, error) {
	minus := 0
	for p.sign("-") {
		if minus++; minus > maxDepth {
			return nil, invalid("the query is nested deeper than %d levels", maxDepth)
		}
	}
	e, err := p.primary()
	for ; err == nil && minus > 0; minus-- {
		e = operator("negate", e)
	}
	return e, err
}

func (p *parser) primary() (*expr, error) {
	t := p.peek()
	switch t.kind {
	case tokenNumber:
		p.take()
		if n, err := strconv.ParseUint(t.text, 10, 64); err == nil {
			return &expr{value: n}, nil
		}
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return nil, invalid("the number %s is too large", t.text)
		}
		return &expr{value: f}, nil
	case tokenString:
		p.take()
		return &expr{value: t.text}, nil
	case tokenQuoted:
		p.take()
		return &expr{kind: columnKind, name: t.text}, nil
	case tokenWord:
		return p.named()
	}
	if !p.sign("(") {
		return nil, p.unexpected("an expression")
	}
	if p.is("SELECT") {
		return nil, invalid("unsupported expression type: a query within an expression")
	}
	e, err := p.expression()
	if err != nil {
		return nil, err
	}
	return e, p.expect(")")
}

// reserved words cannot be names of columns without quotes.
var reserved = append([]string{"SELECT", "BY", "AS", "AND", "OR", "IN", "BETWEEN", "LIKE", "ILIKE", "DISTINCT"}, clauses...)

// named reads what begins with a word: a column, a call, a literal.
func (p *parser) named() (*expr, error) {
	t := p.peek()
	upper := strings.ToUpper(t.text)
	switch upper {
	case "TRUE", "FALSE":
		p.take()
		return &expr{value: upper == "TRUE"}, nil
	case "INTERVAL":
		p.take()
		return p.interval()
	case "CASE", "CAST", "EXISTS", "ARRAY", "NULL":
		return nil, invalid("unsupported expression type: %s", upper)
	}
	function := len(p.tokens) > 1 && p.tokens[1].kind == tokenSign && p.tokens[1].text == "("
	if slices.Contains(reserved, upper) && !(upper == "FORMAT" && function) {
		return nil, p.unexpected("an expression")
	}
	p.take()
	if !p.sign("(") {
		if p.sign(".") {
			return nil, invalid("unsupported expression type: %s. before the name of a column; a query has one table", t.text)
		}
		return &expr{kind: columnKind, name: t.text}, nil
	}
	e := &expr{kind: call, name: strings.ToLower(t.text)}
	var err error
	switch e.name {
	case "position", "extract":
		e.args, err = p.special(e.name)
	default:
		e.args, err = p.arguments(e)
	}
	if err == nil && p.sign("(") {
		e.params = e.args
		e.args, err = p.arguments(e)
	}
	if err == nil && p.is("OVER") {
		err = invalid("unsupported: OVER; there are no window functions")
	}
	return e, err
}

// arguments reads those of a call, to the closing bracket.
func (p *parser) arguments(e *expr) ([]*expr, error) {
	if p.sign(")") {
		return nil, nil
	}
	if e.name == "count" && p.sign("*") {
		return nil, p.expect(")")
	}
	e.distinct = p.word("DISTINCT")
	args, err := list(p, p.expression)
	if err != nil {
		return nil, err
	}
	return args, p.expect(")")
}

// special reads position(a IN b) and extract(UNIT FROM time).
func (p *parser) special(name string) (args []*expr, err error) {
	if name == "extract" {
		unit := strings.ToUpper(p.take().text)
		if !slices.Contains(units, unit) || !p.word("FROM") {
			return nil, invalid("expected extract(<unit> FROM <datetime>) with a unit of %s", strings.Join(units, ", "))
		}
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		return []*expr{{value: unit}, e}, p.expect(")")
	}
	needle, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	if !p.word("IN") {
		return nil, p.unexpected("IN")
	}
	haystack, err := p.expression()
	if err != nil {
		return nil, err
	}
	return []*expr{needle, haystack}, p.expect(")")
}

// interval reads '15' MINUTE. The number may also be without quotes.
func (p *parser) interval() (*expr, error) {
	t := p.take()
	n, err := strconv.ParseInt(strings.TrimSpace(t.text), 10, 32)
	if t.kind != tokenString && t.kind != tokenNumber || err != nil {
		return nil, invalid("expected INTERVAL '<whole number>' <unit>, found: %s", t.text)
	}
	unit := strings.ToUpper(p.peek().text)
	if !slices.Contains(units, unit) {
		return nil, p.unexpected("a unit of " + strings.Join(units, ", "))
	}
	p.take()
	return &expr{value: interval{n, unit}}, nil
}

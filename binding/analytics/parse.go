package analytics

import (
	"slices"
	"strconv"
	"strings"
)

// query is a SELECT.
type query struct {
	items  []item // nil: all columns
	table  string // with from, the source; both empty: there is none
	from   *query
	where  *expr
	group  []*expr
	having *expr
	order  []sorting
	limit  int64 // negative: none
	offset int64
}

// item is an entry of the SELECT list, with the name of its column.
type item struct {
	*expr
	name string
	// alias: other expressions may use the name.
	alias bool
}

type sorting struct {
	*expr
	down bool
}

// statement is what a client sends.
type statement struct {
	show   string // TABLES or TIMEZONE
	query  *query
	format string
}

// exprKind says what an expression is.
type exprKind int

const (
	literal exprKind = iota
	columnKind
	call // of a function or an operator, by its name in lower case
)

// expr is an expression.
type expr struct {
	kind exprKind
	// name of a column or function.
	name string
	// value of a literal: string, uint64, float64, bool or interval.
	value any
	// params are those of a parametric function: quantile(params)(args).
	params, args []*expr
	// distinct: f(DISTINCT x).
	distinct bool
}

// interval is a span of time: 15 MINUTE.
type interval struct {
	n    int64
	unit string
}

var units = []string{"YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"}

// formats are those of answers, by their names in lower case.
var formats = map[string]string{"json": "JSON", "jsoneachrow": "JSONEachRow", "tabseparated": "TabSeparated"}

// maxDepth bounds the nesting of expressions and queries.
const maxDepth = 50

type parser struct {
	text   string
	tokens []token
	depth  int
}

// parse reads a statement of the SQL API.
//
// Source: https://developers.cloudflare.com/analytics/analytics-engine/sql-reference/
func parse(text string) (*statement, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{text: text, tokens: tokens}
	s := &statement{format: "JSON"}
	switch {
	case p.word("SHOW"):
		s.show = strings.ToUpper(p.peek().text)
		if s.show != "TABLES" && s.show != "TIMEZONE" {
			return nil, invalid("unsupported statement: SHOW %s; there are SHOW TABLES and SHOW TIMEZONE", p.peek().text)
		}
		p.take()
	case p.is("SELECT"):
		if s.query, err = p.selection(); err != nil {
			return nil, err
		}
	case p.peek().kind == tokenEnd:
		return nil, invalid("the query is empty")
	default:
		return nil, invalid("unsupported statement: %s; there are SELECT and SHOW", p.peek().text)
	}
	if p.word("FORMAT") {
		name := p.take().text
		var ok bool
		if s.format, ok = formats[strings.ToLower(name)]; !ok {
			return nil, invalid("unsupported format: %s; there are JSON, JSONEachRow and TabSeparated", name)
		}
	}
	for p.sign(";") {
	}
	if p.peek().kind != tokenEnd {
		return nil, p.unexpected("the end of the query")
	}
	return s, nil
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) take() token {
	t := p.tokens[0]
	if t.kind != tokenEnd {
		p.tokens = p.tokens[1:]
	}
	return t
}

// is reports whether a keyword is next.
func (p *parser) is(word string) bool {
	return p.peek().kind == tokenWord && strings.EqualFold(p.peek().text, word)
}

// word takes a keyword if it is next.
func (p *parser) word(word string) bool {
	if p.is(word) {
		p.take()
		return true
	}
	return false
}

// sign takes an operator or a bracket if it is next.
func (p *parser) sign(s string) bool {
	if t := p.peek(); t.kind == tokenSign && t.text == s {
		p.take()
		return true
	}
	return false
}

func (p *parser) expect(s string) error {
	if !p.sign(s) {
		return p.unexpected(strconv.Quote(s))
	}
	return nil
}

func (p *parser) unexpected(wanted string) error {
	t := p.peek()
	found := p.text[t.from:t.to]
	if t.kind == tokenEnd {
		found = "the end of the query"
	}
	return invalid("expected %s, found: %s", wanted, found)
}

// absent are clauses of other dialects that stand where one of ours may.
var absent = []string{"JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "UNION", "INTERSECT", "EXCEPT", "WITH", "PREWHERE", "SAMPLE", "WINDOW", "SETTINGS", "FINAL"}

func (p *parser) selection() (*query, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, invalid("the query is nested deeper than %d levels", maxDepth)
	}
	defer func() { p.depth-- }()
	if !p.word("SELECT") {
		return nil, p.unexpected("SELECT")
	}
	if p.is("DISTINCT") {
		return nil, invalid("unsupported: SELECT DISTINCT; use GROUP BY")
	}
	q := &query{limit: -1}
	var err error
	if !p.sign("*") {
		if q.items, err = list(p, p.item); err != nil {
			return nil, err
		}
	}
	if p.word("FROM") {
		if err := p.source(q); err != nil {
			return nil, err
		}
	}
	if t := p.peek(); t.kind == tokenWord && slices.Contains(absent, strings.ToUpper(t.text)) {
		return nil, invalid("unsupported: %s; a query has one table", strings.ToUpper(t.text))
	}
	if p.word("WHERE") {
		if q.where, err = p.expression(); err != nil {
			return nil, err
		}
	}
	if p.word("GROUP") {
		if !p.word("BY") {
			return nil, p.unexpected("BY")
		}
		if q.group, err = list(p, p.expression); err != nil {
			return nil, err
		}
	}
	if p.word("HAVING") {
		if q.having, err = p.expression(); err != nil {
			return nil, err
		}
	}
	if p.word("ORDER") {
		if !p.word("BY") {
			return nil, p.unexpected("BY")
		}
		if q.order, err = list(p, p.sorting); err != nil {
			return nil, err
		}
	}
	if p.word("LIMIT") && !p.word("ALL") {
		if q.limit, err = p.count(); err != nil {
			return nil, err
		}
	}
	if p.word("OFFSET") {
		if q.offset, err = p.count(); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// list reads what is separated by commas.
func list[T any](p *parser, one func() (T, error)) ([]T, error) {
	var all []T
	for {
		x, err := one()
		if err != nil {
			return nil, err
		}
		if all = append(all, x); !p.sign(",") {
			return all, nil
		}
	}
}

// clauses end the list of a SELECT, so that an alias without AS is none of them.
var clauses = append([]string{"FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FORMAT"}, absent...)

func (p *parser) item() (item, error) {
	from := p.peek().from
	e, err := p.expression()
	if err != nil {
		return item{}, err
	}
	it := item{expr: e, name: strings.TrimSpace(p.text[from:p.peek().from])}
	t := p.peek()
	switch {
	case p.word("AS"):
		if t = p.peek(); t.kind != tokenWord && t.kind != tokenQuoted {
			return it, p.unexpected("the name of a column")
		}
	case t.kind == tokenQuoted:
	case t.kind == tokenWord && !slices.Contains(clauses, strings.ToUpper(t.text)):
	default:
		if e.kind == columnKind {
			it.name = e.name
		}
		return it, nil
	}
	p.take()
	it.name, it.alias = t.text, true
	return it, nil
}

func (p *parser) source(q *query) error {
	var err error
	if p.sign("(") {
		if q.from, err = p.selection(); err != nil {
			return err
		}
		return p.expect(")")
	}
	t := p.peek()
	if t.kind != tokenWord && t.kind != tokenQuoted {
		return p.unexpected("the name of a table")
	}
	q.table = p.take().text
	if p.sign(",") || p.sign(".") {
		return invalid("a query has one table, which is the name of a data set")
	}
	return nil
}

func (p *parser) sorting() (s sorting, err error) {
	if s.expr, err = p.expression(); err != nil {
		return s, err
	}
	if s.down = p.word("DESC"); !s.down {
		p.word("ASC")
	}
	return s, nil
}

func (p *parser) count() (int64, error) {
	t := p.take()
	n, err := strconv.ParseInt(t.text, 10, 64)
	if t.kind != tokenNumber || err != nil {
		return 0, invalid("expected a whole number of rows, found: %s", t.text)
	}
	return n, nil
}

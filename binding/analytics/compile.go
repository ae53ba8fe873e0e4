package analytics

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// compiled is a statement for SQLite. It holds nothing of the query's text but
// what its parameters are.
type compiled struct {
	sql     string
	args    []any
	columns []resultColumn
}

// resultColumn is a column of the answer.
type resultColumn struct {
	name string
	typ  typ
}

// value is a compiled expression.
type value struct {
	sql string
	typ typ
	// constant: it is the same for each row. literal is its value if it was
	// written down.
	constant bool
	literal  any
	// aggregate: it has an aggregate function.
	aggregate bool
	// bare is a column that is neither grouped by nor within an aggregate.
	bare string
}

// compiler makes one statement.
type compiler struct {
	// table finds the table of a data set.
	table func(name string) (string, bool)
	now   time.Time
	args  []any
	known map[any]int
	nodes int
}

// maxNodes bounds the size of a statement: an alias counts as often as it is used.
const maxNodes = 10_000

// scope is what names mean within one SELECT.
type scope struct {
	columns map[string]value
	aliases map[string]item
	// using are the aliases whose expressions are being compiled: within its own,
	// a name is that of a column.
	using map[string]bool
	// grouped are the expressions of GROUP BY; nil before they are known.
	grouped map[string]bool
	// within: an aggregate's arguments are being compiled.
	within bool
}

func compile(q *query, now time.Time, table func(string) (string, bool)) (*compiled, error) {
	c := &compiler{table: table, now: now.UTC(), known: map[any]int{}}
	sql, columns, err := c.selection(q)
	if err != nil {
		return nil, err
	}
	// What is written down and taken in while compiling, such as a time zone, has no
	// place in the statement.
	last := 0
	for _, m := range parameter.FindAllStringSubmatch(sql, -1) {
		n, _ := strconv.Atoi(m[1]) // digits that bind wrote
		last = max(last, n)
	}
	return &compiled{sql: sql, args: c.args[:last], columns: columns}, nil
}

var parameter = regexp.MustCompile(`\?(\d+)`)

// bind makes a parameter. Equal ones are the same, so that equal expressions have
// equal text.
func (c *compiler) bind(v any) string {
	n, ok := c.known[v]
	if !ok {
		c.args = append(c.args, v)
		n = len(c.args)
		c.known[v] = n
	}
	return "?" + strconv.Itoa(n)
}

// tableColumns are the types of a data set's columns, in the order of SELECT *.
var tableColumns = func() []resultColumn {
	list := []resultColumn{{"dataset", stringType}, {"timestamp", timeType}}
	for _, name := range columns {
		t := stringType
		switch {
		case name == "_sample_interval":
			t = uint32Type
		case strings.HasPrefix(name, "double"):
			t = floatType
		}
		list = append(list, resultColumn{name, t})
	}
	return list
}()

// from compiles the source of a query.
func (c *compiler) from(q *query) (sql string, all []resultColumn, s *scope, err error) {
	s = &scope{columns: map[string]value{}, aliases: map[string]item{}, using: map[string]bool{}}
	switch {
	case q.from != nil:
		sql, all, err = c.selection(q.from)
		sql = " FROM (" + sql + ")"
		for i, column := range all {
			s.columns[column.name] = value{sql: resultName(i), typ: column.typ, bare: column.name}
		}
	case q.table != "":
		table, ok := c.table(q.table)
		if !ok {
			return "", nil, nil, invalid("unable to find table: %s; a data set comes into being with its first data point", q.table)
		}
		sql, all = " FROM "+table, tableColumns
		for _, column := range all {
			s.columns[column.name] = value{sql: column.name, typ: column.typ, bare: column.name}
		}
		s.columns["dataset"] = value{typ: stringType, constant: true, literal: q.table} // bound where it is used
	}
	return sql, all, s, err
}

func resultName(i int) string { return "c" + strconv.Itoa(i) }

func (c *compiler) selection(q *query) (string, []resultColumn, error) {
	from, all, s, err := c.from(q)
	if err != nil {
		return "", nil, err
	}
	items := q.items
	if items == nil {
		if len(all) == 0 {
			return "", nil, invalid("SELECT * needs a table")
		}
		for _, column := range all {
			items = append(items, item{expr: &expr{kind: columnKind, name: column.name}, name: column.name})
		}
	}
	for _, it := range items {
		if it.alias {
			s.aliases[it.name] = it
		}
	}
	where := ""
	if q.where != nil {
		v, err := c.condition(q.where, s, "WHERE")
		if err != nil {
			return "", nil, err
		}
		if v.aggregate {
			return "", nil, invalid("an aggregate function is not allowed in WHERE; use HAVING")
		}
		where = " WHERE " + v.sql
	}
	group, err := c.group(q, items, s)
	if err != nil {
		return "", nil, err
	}
	var list []string
	var result []resultColumn
	var values []value
	aggregate := len(q.group) > 0
	for i, it := range items {
		v, err := c.item(it, s)
		if err != nil {
			return "", nil, err
		}
		if v.typ.class == span {
			return "", nil, invalid("an INTERVAL cannot be a column; add it to a DateTime")
		}
		aggregate = aggregate || v.aggregate
		values = append(values, v)
		list = append(list, v.sql+" AS "+resultName(i))
		result = append(result, resultColumn{it.name, v.typ})
	}
	tail := ""
	var rest []value
	if q.having != nil {
		v, err := c.condition(q.having, s, "HAVING")
		if err != nil {
			return "", nil, err
		}
		aggregate, rest = true, append(rest, v)
		if len(q.group) == 0 {
			return "", nil, invalid("HAVING needs GROUP BY")
		}
		tail += " HAVING " + v.sql
	}
	for i, o := range q.order {
		v, err := c.positional(o.expr, items, s)
		if err != nil {
			return "", nil, err
		}
		// Of a query with one group there is nothing to order.
		if !aggregate || len(q.group) > 0 {
			rest = append(rest, v)
			tail += map[bool]string{true: " ORDER BY ", false: ", "}[i == 0] + v.sql
			if o.down {
				tail += " DESC"
			}
		}
	}
	if aggregate {
		for _, v := range append(values, rest...) {
			if v.bare != "" {
				return "", nil, invalid("column %s must be in GROUP BY or within an aggregate function", v.bare)
			}
		}
	}
	if q.limit >= 0 || q.offset > 0 {
		tail += fmt.Sprintf(" LIMIT %d OFFSET %d", q.limit, q.offset)
	}
	return "SELECT " + strings.Join(list, ", ") + from + where + group + tail, result, nil
}

func (c *compiler) group(q *query, items []item, s *scope) (string, error) {
	var list []string
	for _, e := range q.group {
		v, err := c.positional(e, items, s)
		if err != nil {
			return "", err
		}
		if v.aggregate {
			return "", invalid("an aggregate function is not allowed in GROUP BY")
		}
		list = append(list, v.sql)
	}
	s.grouped = map[string]bool{}
	for _, sql := range list {
		s.grouped[sql] = true
	}
	if len(list) == 0 {
		return "", nil
	}
	return " GROUP BY " + strings.Join(list, ", "), nil
}

// positional compiles an expression of GROUP BY or ORDER BY, where a whole number
// is a column of the answer.
func (c *compiler) positional(e *expr, items []item, s *scope) (value, error) {
	n, ok := e.value.(uint64)
	if e.kind != literal || !ok {
		return c.expression(e, s)
	}
	if n < 1 || n > uint64(len(items)) {
		return value{}, invalid("there is no column %d", n)
	}
	return c.item(items[n-1], s)
}

// item compiles an entry of the SELECT list.
func (c *compiler) item(it item, s *scope) (value, error) {
	if !it.alias || s.using[it.name] {
		return c.expression(it.expr, s)
	}
	s.using[it.name] = true
	defer delete(s.using, it.name)
	return c.expression(it.expr, s)
}

// condition compiles an expression that is true or false.
func (c *compiler) condition(e *expr, s *scope, clause string) (value, error) {
	v, err := c.expression(e, s)
	if err == nil && !v.typ.number() {
		err = invalid("%s needs a condition, not a %s", clause, v.typ)
	}
	return v, err
}

package d1

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// OpenDB makes a database/sql handle of a database: for sqlc, sqlx, goose and
// everything else that wants one. The dialect is SQLite's, and the limits and
// errors are D1's (*Error).
//
// Placeholders are ?, ?1, :name, @name and $name; the latter three take
// sql.Named arguments, which D1's own protocol has not. A text of several
// statements is one transaction and takes arguments for the last one only. A
// time.Time is stored as text that SQLite's date functions understand, and
// comes back as one from a column declared DATE, DATETIME or TIMESTAMP.
//
// Unlike D1's protocol, a caller in this process has real transactions; see
// [Database.Begin] for their bounds.
//
// Closing the handle leaves the database as it is; it needs no closing.
func OpenDB(d *Database) *sql.DB { return sql.OpenDB(d.Connector()) }

// Connector is what OpenDB is made of.
func (d *Database) Connector() driver.Connector { return connector{d} }

type connector struct{ db *Database }

// Connect implements driver.Connector. A connection is no more than a name for
// the database; its own pools bound what runs at once.
func (c connector) Connect(context.Context) (driver.Conn, error) { return &sqlConn{db: c.db}, nil }

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return noNames{} }

// noNames is the driver without a data source name: databases are found
// through bindings.
type noNames struct{}

// Open implements driver.Driver.
func (noNames) Open(string) (driver.Conn, error) {
	return nil, errors.New("d1: a database has no data source name; use d1.OpenDB")
}

// sqlConn is a connection of database/sql: used by one goroutine at a time.
type sqlConn struct {
	db *Database
	tx *Tx
}

var (
	_ driver.QueryerContext = (*sqlConn)(nil)
	_ driver.ExecerContext  = (*sqlConn)(nil)
	_ driver.ConnBeginTx    = (*sqlConn)(nil)
	_ driver.Validator      = (*sqlConn)(nil)
)

func (c *sqlConn) Close() error {
	if c.tx != nil {
		c.tx.Rollback()
	}
	return nil
}

// IsValid implements driver.Validator.
func (c *sqlConn) IsValid() bool { return c.tx == nil }

func (c *sqlConn) Prepare(text string) (driver.Stmt, error) { return &sqlStmt{c, text}, nil }

func (c *sqlConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx implements driver.ConnBeginTx. Every transaction is serializable,
// whichever level is asked for.
func (c *sqlConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.db.begin(ctx, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	c.tx = tx
	return sqlTx{c, tx}, nil
}

type sqlTx struct {
	c  *sqlConn
	tx *Tx
}

func (t sqlTx) Commit() error   { t.c.tx = nil; return t.tx.Commit() }
func (t sqlTx) Rollback() error { t.c.tx = nil; return t.tx.Rollback() }

func (c *sqlConn) run(ctx context.Context, text string, args []driver.NamedValue) (*sqlOutput, error) {
	q := query{sql: text, params: make([]any, len(args))}
	for i, a := range args {
		v := any(a.Value)
		if t, ok := v.(time.Time); ok {
			v = t.UTC().Format(timeFormat)
		}
		if a.Name != "" {
			v = named{a.Name, v}
		}
		q.params[i] = v
	}
	out := &sqlOutput{}
	var err error
	if c.tx != nil {
		err = c.tx.run(ctx, q, out)
	} else {
		err = c.db.trusted(ctx, []query{q}, false, out)
	}
	return out, err
}

// timeFormat is one that SQLite reads, with all the precision Go has.
const timeFormat = "2006-01-02 15:04:05.999999999"

// QueryContext implements driver.QueryerContext.
func (c *sqlConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	out, err := c.run(ctx, text, args)
	if err != nil {
		return nil, err
	}
	return &sqlRows{out: out}, nil
}

// ExecContext implements driver.ExecerContext.
func (c *sqlConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	out, err := c.run(ctx, text, args)
	if err != nil {
		return nil, err
	}
	return sqlResult(out.meta), nil
}

type sqlResult Meta

func (r sqlResult) LastInsertId() (int64, error) { return r.LastRowID, nil }
func (r sqlResult) RowsAffected() (int64, error) { return r.Changes, nil }

// sqlStmt is a prepared statement: its text, since the store's connections keep
// what they have compiled.
type sqlStmt struct {
	c    *sqlConn
	text string
}

var (
	_ driver.StmtQueryContext = (*sqlStmt)(nil)
	_ driver.StmtExecContext  = (*sqlStmt)(nil)
)

func (s *sqlStmt) Close() error  { return nil }
func (s *sqlStmt) NumInput() int { return -1 } // SQLite counts them

func (s *sqlStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), positional(args))
}

func (s *sqlStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), positional(args))
}

func positional(args []driver.Value) []driver.NamedValue {
	list := make([]driver.NamedValue, len(args))
	for i, v := range args {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return list
}

func (s *sqlStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.c.ExecContext(ctx, s.text, args)
}

func (s *sqlStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.c.QueryContext(ctx, s.text, args)
}

// named is a parameter that is bound by its name.
type named struct {
	name  string
	value any
}

// positions orders parameters by the places that the statement gives them.
// Without named ones they are returned as they are.
func positions(s *sqlite.Stmt, params []any) ([]any, error) {
	byName := false
	for _, p := range params {
		_, ok := p.(named)
		byName = byName || ok
	}
	if !byName {
		return params, nil
	}
	ordered := make([]any, s.BindCount())
	set := make([]bool, len(ordered))
	for i, p := range params {
		n, ok := p.(named)
		if !ok {
			if i >= len(ordered) {
				return nil, &Error{Message: textParameters}
			}
			ordered[i], set[i] = p, true
			continue
		}
		found := false
		for _, prefix := range []string{":", "@", "$"} {
			if at := s.BindIndex(prefix + n.name); at > 0 {
				ordered[at-1], set[at-1], found = n.value, true, true
			}
		}
		if !found {
			return nil, &Error{Message: fmt.Sprintf("no parameter named %q in the statement: SQLITE_RANGE", n.name)}
		}
	}
	for _, ok := range set {
		if !ok {
			return nil, &Error{Message: textParameters}
		}
	}
	return ordered, nil
}

// sqlOutput collects a result for database/sql.
type sqlOutput struct {
	valueOutput
	columns []string
	times   []bool   // the column is declared as a time
	kinds   []string // the declared types
	values  [][]any
	meta    Meta
}

func (o *sqlOutput) reset() { *o = sqlOutput{} }

func (o *sqlOutput) end(s *sqlite.Stmt, m *Meta) error {
	o.columns, o.values, o.meta = s.Columns(), o.rows, *m
	o.rows = nil
	o.kinds = make([]string, len(o.columns))
	o.times = make([]bool, len(o.columns))
	for i := range o.columns {
		o.kinds[i] = strings.ToUpper(s.ColumnDeclType(i))
		switch o.kinds[i] {
		case "DATE", "DATETIME", "TIMESTAMP":
			o.times[i] = true
		}
	}
	return nil
}

type sqlRows struct {
	out *sqlOutput
	at  int
}

var _ driver.RowsColumnTypeDatabaseTypeName = (*sqlRows)(nil)

func (r *sqlRows) Columns() []string { return r.out.columns }
func (r *sqlRows) Close() error      { return nil }

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (r *sqlRows) ColumnTypeDatabaseTypeName(i int) string { return r.out.kinds[i] }

func (r *sqlRows) Next(dest []driver.Value) error {
	if r.at == len(r.out.values) {
		return io.EOF
	}
	for i, v := range r.out.values[r.at] {
		dest[i] = v
		if r.out.times[i] {
			if t, ok := asTime(v); ok {
				dest[i] = t
			}
		}
	}
	r.at++
	return nil
}

// asTime reads what a column of times holds; SQLite has no type for them.
func asTime(v any) (time.Time, bool) {
	t, err := sqlite3.TimeFormatAuto.Decode(v)
	return t, err == nil
}

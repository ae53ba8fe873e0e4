package d1

import (
	"context"

	"github.com/ncruces/go-sqlite3"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// Statement is SQL with its parameters. It is immutable: Bind makes a new one.
type Statement struct {
	db    *Database
	query query
}

// Prepare makes a statement of sql. Nothing is compiled or checked yet.
func (d *Database) Prepare(sql string) *Statement { return &Statement{db: d, query: query{sql: sql}} }

// Bind gives the statement its parameters, ?1, ?2 and so on: nil, bool, int,
// int64, float64, string or []byte.
func (s *Statement) Bind(params ...any) *Statement {
	return &Statement{db: s.db, query: query{sql: s.query.sql, params: params}}
}

// All runs the statement and returns its rows. SQL that fails gives an *Error.
func (s *Statement) All(ctx context.Context) (*Result, error) {
	results, err := s.db.results(ctx, []query{s.query})
	if err != nil {
		return nil, err
	}
	return results[0], nil
}

// Run runs the statement for its effect.
func (s *Statement) Run(ctx context.Context) (Meta, error) {
	r, err := s.All(ctx)
	if err != nil {
		return Meta{}, err
	}
	return r.Meta, nil
}

// Raw runs the statement and returns its rows without the names of the columns.
func (s *Statement) Raw(ctx context.Context) ([][]any, error) {
	r, err := s.All(ctx)
	if err != nil {
		return nil, err
	}
	return r.Rows, nil
}

// First runs the statement and returns its first row, or ErrNoRows.
func (s *Statement) First(ctx context.Context) (map[string]any, error) {
	r, err := s.All(ctx)
	if err != nil {
		return nil, err
	}
	if len(r.Rows) == 0 {
		return nil, ErrNoRows
	}
	return object(r.Columns, r.Rows[0]), nil
}

// Batch runs statements in one transaction: all of them or none. Error.Query
// tells which one failed.
func (d *Database) Batch(ctx context.Context, statements ...*Statement) ([]*Result, error) {
	queries := make([]query, len(statements))
	for i, s := range statements {
		queries[i] = s.query
	}
	return d.results(ctx, queries)
}

// Exec runs the statements in sql, without parameters, in one transaction, and
// returns one result for each.
func (d *Database) Exec(ctx context.Context, sql string) ([]*Result, error) {
	out := &valueOutput{}
	if err := d.trusted(ctx, []query{{sql: sql}}, true, out); err != nil {
		return nil, err
	}
	return out.results, nil
}

// trusted runs the queries of a program that this one is a part of.
func (d *Database) trusted(ctx context.Context, queries []query, each bool, out output) error {
	return d.store.withMemory(ctx, demand{}, func(heap int64) error {
		out.reset()
		return d.run(ctx, heap, queries, each, out)
	})
}

func (d *Database) results(ctx context.Context, queries []query) ([]*Result, error) {
	out := &valueOutput{}
	if err := d.trusted(ctx, queries, false, out); err != nil {
		return nil, err
	}
	return out.results, nil
}

// Session is a sequence of calls of which each sees what the ones before did.
// It is not safe for concurrent use.
type Session struct {
	*Database
	bookmark string
}

// WithSession starts a session. from is a bookmark of an earlier session,
// "first-primary", "first-unconstrained" or empty.
func (d *Database) WithSession(from string) *Session {
	s := &Session{Database: d}
	if from != "first-primary" && from != "first-unconstrained" {
		s.bookmark = from
	}
	return s
}

// Bookmark names the state that the session has seen so far: the database's
// last write, or the bookmark the session started from if that is later.
func (s *Session) Bookmark() (string, error) {
	now, err := s.Database.Bookmark()
	if err != nil {
		return "", err
	}
	s.bookmark = max(s.bookmark, now)
	return s.bookmark, nil
}

// valueOutput collects results as Go values.
type valueOutput struct {
	results []*Result
	rows    [][]any
	size    int
}

func (o *valueOutput) reset() { *o = valueOutput{} }

func (o *valueOutput) row(s *sqlite.Stmt) error {
	row := make([]any, s.ColumnCount())
	for i := range row {
		switch s.ColumnType(i) {
		case sqlite3.INTEGER:
			row[i] = s.ColumnInt64(i)
		case sqlite3.FLOAT:
			row[i] = s.ColumnFloat(i)
		case sqlite3.TEXT:
			text := s.ColumnText(i)
			row[i] = text
			o.size += len(text)
		case sqlite3.BLOB:
			blob := s.ColumnBlob(i, []byte{})
			row[i] = blob
			o.size += len(blob)
		}
		o.size += 16
	}
	if o.size > MaxResult {
		return &Error{Message: textMemory}
	}
	o.rows = append(o.rows, row)
	return nil
}

func (o *valueOutput) end(s *sqlite.Stmt, m *Meta) error {
	o.results = append(o.results, &Result{Columns: s.Columns(), Rows: o.rows, Meta: *m})
	o.rows = nil
	return nil
}

package d1

import (
	"context"
	"errors"
	"time"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// query is one statement, or several in one text, with the parameters of the
// last. A parameter is nil, bool, int, int64, float64, string or []byte.
type query struct {
	sql    string
	params []any
	// dump: the text may hold BEGIN and COMMIT, which are left out.
	dump bool
}

// output receives the results of a call as they arise. reset drops everything
// because the call starts again.
type output interface {
	row(s *sqlite.Stmt) error
	end(s *sqlite.Stmt, m *Meta) error
	reset()
}

// transactional reports whether text is one of the statements that a dump puts
// around itself. An import is a transaction anyway.
func transactional(text string) bool {
	switch keyword(text) {
	case "BEGIN", "COMMIT", "END":
		return true
	}
	return false
}

// errNeedsWriter: a statement that looked like reading writes.
var errNeedsWriter = errors.New("d1: statement needs the writing connection")

// run executes queries as one transaction. With each, every statement of a
// text gives a result, otherwise only the last one does.
// SQLite's memory is bounded by heap; if that does not suffice the error is
// sqlite.ErrMemory.
func (d *Database) run(ctx context.Context, heap int64, queries []query, each bool, out output) error {
	statements, reads := 0, true
	for _, q := range queries {
		if !blank(q.sql) {
			statements++
			reads = reads && mayRead(q.sql)
		}
	}
	if statements == 0 {
		return &Error{Message: textNoStatement}
	}
	file, err := d.acquire()
	if err != nil {
		return translate(err)
	}
	defer d.release()
	ctx = &sqlite.Deadline{Context: ctx, At: time.Now().Add(d.store.opts.MaxQueryTime)}
	if reads {
		err = file.Read(ctx, func(c *sqlite.Conn) error {
			c.LimitHeap(heap)
			return (&call{d: d, c: c, p: c.Note.(*policy), out: out, each: each, reading: true}).run(queries)
		})
		if !errors.Is(err, errNeedsWriter) {
			return d.failed(ctx, err)
		}
		out.reset()
	}
	err = file.Write(ctx, func(c *sqlite.Conn) error {
		c.LimitHeap(heap)
		return (&call{d: d, c: c, p: c.Note.(*policy), out: out, each: each}).run(queries)
	})
	return d.failed(ctx, err)
}

func (d *Database) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return translate(cause)
	}
	return translate(err)
}

// mayRead reports whether sql looks like it only reads; the compiled statement
// has the last word.
func mayRead(sql string) bool {
	switch keyword(sql) {
	case "SELECT", "VALUES", "WITH", "EXPLAIN":
		return true
	}
	return false
}

// call is one transaction in progress on one connection.
type call struct {
	d       *Database
	c       *sqlite.Conn
	p       *policy
	out     output
	each    bool
	reading bool
	wrote   bool
	size    int64 // of the database after the last statement that wrote
	changes int64 // of the connection before the current text
}

func (k *call) run(queries []query) error {
	var err error
	if !k.reading {
		if err := k.d.limitSize(k.p); err != nil {
			return err
		}
	}
	if k.reading && len(queries) == 1 && single(queries[0].sql) {
		err = k.query(&queries[0])
	} else {
		// One statement that writes gets a transaction too: after OR FAIL and
		// RAISE(FAIL), SQLite by itself would keep half of it.
		err = k.c.Tx(func() error {
			for i := range queries {
				if err := k.query(&queries[i]); err != nil {
					if e, ok := err.(*Error); ok {
						e.Query = i
					} else if e, ok := translate(err).(*Error); ok {
						e.Query = i
						return e
					}
					return err
				}
			}
			return nil
		})
	}
	return k.finish(err)
}

// finish undoes what the call set on the connection and, if it wrote and was
// committed, notes the new state of the database.
func (k *call) finish(err error) error {
	if k.p.setting {
		if e := k.p.restore(); err == nil {
			err = e
		}
	}
	if k.wrote {
		k.d.lastRowID.Store(k.c.LastInsertRowID())
		if err == nil {
			k.d.count(k.size)
		}
	}
	return err
}

func single(sql string) bool {
	_, rest, _ := cut(sql)
	return blank(rest)
}

// query runs the statements of one text.
func (k *call) query(q *query) error {
	rest := q.sql
	k.changes = k.c.TotalChanges()
	for !blank(rest) {
		var text string
		if text, rest, _ = cut(rest); blank(text) || q.dump && transactional(text) {
			continue
		}
		last := blank(rest)
		var params []any
		if last {
			params, rest = q.params, ""
		}
		if err := k.statement(text, params, last); err != nil {
			return err
		}
	}
	return nil
}

func (k *call) statement(text string, params []any, last bool) error {
	if len(text) > MaxStatement {
		return &Error{Message: textLong}
	}
	started := time.Now()
	k.p.transaction, k.p.counters = false, false
	s, err := k.c.Prepare(text)
	if err != nil {
		switch {
		case k.p.transaction:
			return &Error{Message: textTransaction, cause: err}
		case keyword(text) == "VACUUM":
			return &Error{Message: textVacuum, cause: err}
		}
		return offset(err, text)
	}
	if s == nil { // a NUL byte ends the text for SQLite
		return &Error{Message: textNoStatement}
	}
	defer s.Done()
	if k.p.counters {
		s.Note = usesCounters
	}
	readOnly := s.ReadOnly()
	if k.reading && (!readOnly || s.Note == usesCounters) {
		return errNeedsWriter
	}
	if !readOnly && keyword(text) == "VACUUM" {
		return &Error{Message: textVacuum}
	}
	if last {
		if params, err = positions(s, params); err != nil {
			return err
		}
	}
	switch n := s.BindCount(); {
	case !last && n > 0:
		return &Error{Message: textLastParams}
	case last && n != len(params):
		return &Error{Message: textParameters}
	}
	for i, v := range params {
		if err := s.Bind(i+1, v); err != nil {
			return err
		}
	}
	report := last || k.each
	size, rowID := k.d.size.Load(), k.d.lastRowID.Load()
	if k.wrote {
		size, rowID = k.size, k.c.LastInsertRowID()
	}
	if k.each {
		k.changes = k.c.TotalChanges()
	}
	rows := int64(0)
	for s.Step() {
		rows++
		if report {
			if err := k.out.row(s); err != nil {
				return err
			}
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	m := Meta{LastRowID: rowID, SizeAfter: size, RowsRead: s.Scanned()}
	if m.RowsRead = max(m.RowsRead, rows); report && readOnly {
		m.Duration = time.Since(started)
		return k.out.end(s, &m)
	}
	if report {
		// The names of the columns are needed before the statement is reset,
		// the figures are only known after.
		s.Columns()
	}
	if err := s.Finish(); err != nil {
		return err
	}
	if readOnly {
		return nil
	}
	k.wrote = true
	m.Changes = k.c.TotalChanges() - k.changes
	m.RowsWritten = m.Changes
	m.LastRowID = k.c.LastInsertRowID()
	k.size = k.p.size()
	m.SizeAfter = k.size
	m.ChangedDB = m.Changes != 0 || m.SizeAfter != size || m.LastRowID != rowID
	m.Duration = time.Since(started)
	if !report {
		return nil
	}
	return k.out.end(s, &m)
}

// usesCounters marks a statement that has to run on the connection that
// counted the changes.
var usesCounters = new(int)

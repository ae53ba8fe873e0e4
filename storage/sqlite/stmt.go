package sqlite

import (
	"container/list"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// Stmt is a prepared statement, ready to be bound and stepped. Call Done when
// finished with it.
type Stmt struct {
	*sqlite3.Stmt
	c *Conn

	// Note is for whoever prepares statements to keep what it learned about
	// this one; it lives as long as the statement.
	Note any

	sql      string
	element  *list.Element // nil: not in the cache
	busy     bool
	columns  []string
	prepares int // value of the re-prepare counter that columns belong to
}

// statements is a connection's cache of prepared statements, the most recently
// used first.
type statements struct {
	max    int
	byText map[string]*Stmt
	order  *list.List
}

// maxCachedText keeps one huge statement from occupying the cache's memory.
const maxCachedText = 16 << 10

func newStatements(n int) *statements {
	return &statements{max: n, byText: map[string]*Stmt{}, order: list.New()}
}

// Prepare compiles the one statement in sql, or finds it compiled. It returns
// nil without error when sql holds no statement. Text after the first
// statement is ignored.
func (c *Conn) Prepare(sql string) (*Stmt, error) {
	if s := c.stmts.byText[sql]; s != nil && !s.busy {
		c.stmts.order.MoveToFront(s.element)
		s.busy = true
		return s, nil
	}
	c.uncached = c.trust // a trusted statement is never handed to anyone else
	inner, _, err := c.conn.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil || inner == nil {
		return nil, err
	}
	s := &Stmt{Stmt: inner, c: c, sql: sql, busy: true}
	if c.uncached || len(sql) > maxCachedText || c.stmts.byText[sql] != nil {
		return s, nil
	}
	s.element = c.stmts.order.PushFront(s)
	c.stmts.byText[sql] = s
	for c.stmts.order.Len() > c.stmts.max {
		last := c.stmts.order.Back().Value.(*Stmt)
		if last.busy {
			break
		}
		c.stmts.remove(last)
		last.Close()
	}
	return s, nil
}

func (cache *statements) remove(s *Stmt) {
	cache.order.Remove(s.element)
	delete(cache.byText, s.sql)
	s.element = nil
}

// Finish resets the statement, which is when its effects are committed, and
// returns the error of its execution if there was one.
func (s *Stmt) Finish() error {
	err := s.Err()
	if e := s.Reset(); err == nil {
		err = e
	}
	return err
}

// Done gives the statement back.
func (s *Stmt) Done() {
	if s.element == nil {
		s.Close()
		return
	}
	s.Reset() // its error was reported by Finish, or the caller failed for another reason
	s.ClearBindings()
	s.busy = false
}

// Forget gives the statement back and drops it from the cache.
func (s *Stmt) Forget() {
	if s.element != nil {
		s.c.stmts.remove(s)
	}
	s.Close()
}

// Columns are the names of the result's columns. Call it after the first Step:
// a statement may be compiled anew then, with other columns.
func (s *Stmt) Columns() []string {
	n := s.Status(sqlite3.STMTSTATUS_REPREPARE, false)
	if s.columns == nil || n != s.prepares {
		s.prepares = n
		s.columns = make([]string, s.ColumnCount())
		for i := range s.columns {
			s.columns[i] = s.ColumnName(i)
		}
	}
	return s.columns
}

// Bind sets parameter i, counted from 1; see [Conn.Query] for the types.
func (s *Stmt) Bind(i int, value any) error {
	switch v := value.(type) {
	case nil:
		return s.BindNull(i)
	case bool:
		return s.BindBool(i, v)
	case int:
		return s.BindInt(i, v)
	case int64:
		return s.BindInt64(i, v)
	case float64:
		return s.BindFloat(i, v)
	case string:
		return s.BindText(i, v)
	case []byte:
		return s.BindBlob(i, v)
	case time.Time:
		return s.BindInt64(i, v.UnixMilli())
	}
	return fmt.Errorf("sqlite: parameter %d has unsupported type %T", i, value)
}

// Scanned estimates how many rows the last run visited in full scans. Rows
// found through an index are not counted.
func (s *Stmt) Scanned() int64 {
	if n := s.Status(sqlite3.STMTSTATUS_FULLSCAN_STEP, true); n > 0 {
		return int64(n) + 1
	}
	return 0
}

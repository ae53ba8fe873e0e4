package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
)

// Conn is one connection. It is valid only during the call of [DB.Read] or
// [DB.Write] that lends it, and only on that goroutine.
type Conn struct {
	conn  *sqlite3.Conn
	stmts *statements

	// Note is for whoever sets connections up to keep what belongs to this one.
	Note any

	authorize Authorizer
	trust     bool // our own statements run: the authorizer is not asked
	uncached  bool // the statement being prepared must not be kept
	broken    bool // the connection's memory is in an unknown state
	grown     bool // it may have grown past keepHeap
	frames    int  // length of the log after the last commit, if somebody is to be told

	begin, commit, rollback *sqlite3.Stmt
}

// Action is what a statement wants to do, in SQLite's terms.
type Action = sqlite3.AuthorizerActionCode

// Verdict is the answer to an Action.
type Verdict = sqlite3.AuthorizerReturnCode

// The verdicts: allow, refuse the statement, or leave the action out silently.
const (
	Allow  = sqlite3.AUTH_OK
	Deny   = sqlite3.AUTH_DENY
	Ignore = sqlite3.AUTH_IGNORE
)

// Authorizer judges every action of a statement when the statement is
// prepared. The meaning of the arguments depends on the action.
//
// Source: https://sqlite.org/c3ref/c_alter_table.html
type Authorizer func(action Action, arg1, arg2, schema, inner string) Verdict

func open(path string, o Options, readOnly bool) (*Conn, error) {
	// Go's file functions report a missing directory better than SQLite does.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()

	// The library's own bound is above the hard heap limit, which fails
	// first and in an orderly way.
	ctx := sqlite3.WithMaxMemory(context.Background(), min(2*o.MaxHeap, 256<<20))
	conn, err := sqlite3.OpenContext(ctx, fileURI(path))
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn, stmts: newStatements(o.Statements)}
	err = c.guard(context.Background(), func(*Conn) error { return c.setUp(o, readOnly) })
	if err != nil {
		c.discard()
		return nil, err
	}
	return c, nil
}

// fileURI keeps a path from being read as a URI with parameters.
func fileURI(path string) string {
	escape := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23")
	return "file:" + escape.Replace(path)
}

func (c *Conn) setUp(o Options, readOnly bool) error {
	if err := c.conn.BusyTimeout(o.Wait); err != nil {
		return err
	}
	c.conn.HardHeapLimit(o.MaxHeap)
	if _, err := c.conn.Config(sqlite3.DBCONFIG_DEFENSIVE, true); err != nil {
		return err
	}
	if _, err := c.conn.Config(sqlite3.DBCONFIG_TRUSTED_SCHEMA, false); err != nil {
		return err
	}
	checkpoint := 1000
	if o.OwnCheckpoints {
		checkpoint = 0
		if _, err := c.conn.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true); err != nil {
			return err
		}
	}
	pragmas := fmt.Sprintf(`PRAGMA journal_mode = WAL;
		PRAGMA synchronous = %s;
		PRAGMA foreign_keys = ON;
		PRAGMA cache_size = %d;
		PRAGMA wal_autocheckpoint = %d;
		PRAGMA journal_size_limit = %d;`, o.Sync, -o.CacheSize/1024, checkpoint, 32<<20)
	if err := c.conn.Exec(pragmas); err != nil {
		return err
	}
	if o.Committed != nil && !readOnly {
		// This hook takes the place of the one that checkpoints by itself.
		c.conn.WALHook(func(_ *sqlite3.Conn, _ string, frames int) error {
			c.frames = frames
			return nil
		})
	}
	if o.MaxSize > 0 {
		var page int64
		err := c.Query("PRAGMA page_size", nil, func(s *Stmt) error { page = s.ColumnInt64(0); return nil })
		if err == nil {
			err = c.conn.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", max(o.MaxSize/page, 1)))
		}
		if err != nil {
			return err
		}
	}
	if readOnly {
		if err := c.conn.Exec("PRAGMA query_only = ON"); err != nil {
			return err
		}
	}
	begin := "BEGIN IMMEDIATE"
	if readOnly {
		begin = "BEGIN"
	}
	var err error
	if c.begin, _, err = c.conn.Prepare(begin); err == nil {
		if c.commit, _, err = c.conn.Prepare("COMMIT"); err == nil {
			c.rollback, _, err = c.conn.Prepare("ROLLBACK")
		}
	}
	if err == nil && o.Setup != nil {
		err = o.Setup(c)
	}
	return err
}

// RegisterFTS5 adds full-text search to the connection.
func (c *Conn) RegisterFTS5() error { return fts5.Register(c.conn) }

// SetAuthorizer makes a judge every statement that is prepared from now on,
// except those of [Conn.Tx].
func (c *Conn) SetAuthorizer(a Authorizer) error {
	c.authorize = a
	return c.conn.SetAuthorizer(func(action Action, arg1, arg2, schema, inner string) Verdict {
		if c.trust {
			return Allow
		}
		return c.authorize(action, arg1, arg2, schema, inner)
	})
}

// Limit sets one of SQLite's run-time limits.
//
// Source: https://sqlite.org/c3ref/c_limit_attached.html
func (c *Conn) Limit(category sqlite3.LimitCategory, value int) { c.conn.Limit(category, value) }

// LimitHeap bounds the connection's memory for the rest of the call, as
// Options.MaxHeap does before it. A connection that may have grown past
// keepHeap is not kept for the next one.
func (c *Conn) LimitHeap(bytes int64) {
	c.conn.HardHeapLimit(bytes)
	c.grown = c.grown || bytes > keepHeap
}

// keepHeap is the memory that a connection may keep between calls: it never
// gives back what it has once had.
const keepHeap = 16 << 20

// DoNotCache keeps the statement that is being prepared out of the statement
// cache; an Authorizer calls it for statements that act while being prepared.
func (c *Conn) DoNotCache() { c.uncached = true }

// LastInsertRowID is the row id of the connection's last insert.
func (c *Conn) LastInsertRowID() int64 { return c.conn.LastInsertRowID() }

// TotalChanges counts the rows inserted, updated and deleted through the
// connection.
func (c *Conn) TotalChanges() int64 { return c.conn.TotalChanges() }

// trusted runs f without asking the authorizer.
func (c *Conn) trusted(f func() error) error {
	before := c.trust
	c.trust = true
	defer func() { c.trust = before }()
	return f()
}

// Trusted runs our own statements in f without asking the authorizer. They
// must not contain text from outside.
func (c *Conn) Trusted(f func() error) error { return c.trusted(f) }

// Tx runs f in a transaction, which is committed if f returns nil and rolled
// back otherwise. On the writing connection the transaction holds the write
// lock from the start.
func (c *Conn) Tx(f func() error) error {
	if err := c.trusted(c.begin.Exec); err != nil {
		return err
	}
	if err := f(); err != nil {
		c.Rollback()
		return err
	}
	if err := c.trusted(c.commit.Exec); err != nil {
		c.Rollback()
		return err
	}
	return nil
}

// Rollback ends an open transaction, if there is one, without its changes.
func (c *Conn) Rollback() {
	if c.broken || c.conn.GetAutocommit() {
		return
	}
	// A canceled context must not keep the lock: rolling back needs none.
	old := c.conn.SetInterrupt(context.Background())
	defer c.conn.SetInterrupt(old)
	if err := c.trusted(c.rollback.Exec); err != nil && !c.conn.GetAutocommit() {
		c.broken = true // closing it rolls back
	}
}

// Exec runs one statement with the given parameters to its end.
func (c *Conn) Exec(sql string, args ...any) error { return c.Query(sql, args, nil) }

// Query runs one statement and calls row, which may be nil, for every row.
// Parameters are nil, bool, int, int64, float64, string, []byte or time.Time
// (stored as Unix milliseconds). The last row is reported before an automatic
// commit; the statement's effects are durable when Query returns nil.
func (c *Conn) Query(sql string, args []any, row func(*Stmt) error) error {
	s, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	if s == nil {
		return errors.New("sqlite: no statement in " + fmt.Sprintf("%.40q", sql))
	}
	defer s.Done()
	for i, a := range args {
		if err := s.Bind(i+1, a); err != nil {
			return err
		}
	}
	for s.Step() {
		if row != nil {
			if err := row(s); err != nil {
				return err
			}
		}
	}
	return s.Finish()
}

// guard runs f with ctx interrupting the connection's statements, turns
// a breach of the memory limit into ErrMemory and leaves no transaction open.
func (c *Conn) guard(ctx context.Context, f func(*Conn) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			// The engine reports exhausted memory, and its own bounds checks
			// report damage, by panicking. Either way only this connection's
			// memory is affected.
			c.broken = true
			err = fmt.Errorf("%w: %v", ErrMemory, p)
		}
	}()
	c.conn.SetInterrupt(ctx)
	err = f(c)
	c.Rollback()
	c.conn.SetInterrupt(context.Background())
	if errors.Is(err, sqlite3.NOMEM) {
		c.broken = true
		err = fmt.Errorf("%w: %w", ErrMemory, err)
	}
	if c.broken && err == nil {
		err = ErrMemory
	}
	return err
}

func (c *Conn) close() error {
	c.conn.SetInterrupt(context.Background())
	var all []*sqlite3.Stmt
	for s := range c.conn.Stmts() {
		all = append(all, s)
	}
	for _, s := range all {
		s.Close()
	}
	return c.conn.Close()
}

// discard closes a connection whose memory may be damaged.
func (c *Conn) discard() {
	defer func() { recover() }()
	c.conn.HardHeapLimit(0)
	c.close()
}

// Deadline is a context that is done at a point in time without a timer: its
// Done channel is its parent's, but Err reports the deadline, and Err is what
// a connection asks between steps.
type Deadline struct {
	context.Context
	At time.Time
}

// Err implements context.Context.
func (d *Deadline) Err() error {
	if err := d.Context.Err(); err != nil {
		return err
	}
	if !d.At.IsZero() && time.Now().After(d.At) {
		return context.DeadlineExceeded
	}
	return nil
}

// Deadline implements context.Context.
func (d *Deadline) Deadline() (time.Time, bool) { return d.At, !d.At.IsZero() }

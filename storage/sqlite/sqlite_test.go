package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

func open(t *testing.T, o sqlite.Options) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "odd %?#name.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec(t *testing.T, db *sqlite.DB, sql string, args ...any) {
	t.Helper()
	if err := db.Write(t.Context(), func(c *sqlite.Conn) error { return c.Exec(sql, args...) }); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func number(t *testing.T, db *sqlite.DB, sql string) (n int64) {
	t.Helper()
	err := db.Read(t.Context(), func(c *sqlite.Conn) error {
		return c.Query(sql, nil, func(s *sqlite.Stmt) error { n = s.ColumnInt64(0); return nil })
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func TestReadYourWrites(t *testing.T) {
	db := open(t, sqlite.Options{})
	exec(t, db, "CREATE TABLE t(a)")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 100 {
				exec(t, db, "INSERT INTO t VALUES(?)", i)
				if number(t, db, "SELECT count(*) FROM t") == 0 {
					t.Error("a write is not there after it was acknowledged")
				}
			}
		})
	}
	wg.Wait()
	if n := number(t, db, "SELECT count(*) FROM t"); n != 400 {
		t.Errorf("%d rows, want 400", n)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	db := open(t, sqlite.Options{})
	exec(t, db, "CREATE TABLE t(a)")
	err := db.Read(t.Context(), func(c *sqlite.Conn) error { return c.Exec("INSERT INTO t VALUES(1)") })
	if !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("got %v", err)
	}
}

func TestTx(t *testing.T) {
	db := open(t, sqlite.Options{})
	exec(t, db, "CREATE TABLE t(a)")
	failure := errors.New("failure")
	err := db.Write(t.Context(), func(c *sqlite.Conn) error {
		return c.Tx(func() error {
			if err := c.Exec("INSERT INTO t VALUES(1)"); err != nil {
				return err
			}
			return failure
		})
	})
	if err != failure {
		t.Errorf("got %v", err)
	}
	if n := number(t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("a transaction that failed left %d rows", n)
	}
	// A transaction that is left open is rolled back.
	exec(t, db, "BEGIN")
	exec(t, db, "BEGIN")
}

// TestMemory: a statement that needs too much memory loses its transaction and
// its connection, and nothing else.
func TestMemory(t *testing.T) {
	db := open(t, sqlite.Options{MaxHeap: 8 << 20})
	exec(t, db, "CREATE TABLE t(a)")
	for range 20 {
		err := db.Write(t.Context(), func(c *sqlite.Conn) error {
			return c.Tx(func() error {
				if err := c.Exec("INSERT INTO t VALUES(1)"); err != nil {
					return err
				}
				return c.Exec("SELECT zeroblob(20000000) || 'x'")
			})
		})
		if !errors.Is(err, sqlite.ErrMemory) {
			t.Fatalf("got %v", err)
		}
		err = db.Read(t.Context(), func(c *sqlite.Conn) error { return c.Exec("SELECT zeroblob(20000000) || 'x'") })
		if !errors.Is(err, sqlite.ErrMemory) {
			t.Fatalf("got %v", err)
		}
	}
	if n := number(t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	exec(t, db, "INSERT INTO t VALUES(1)")
}

func TestInterrupt(t *testing.T) {
	db := open(t, sqlite.Options{})
	ctx := &sqlite.Deadline{Context: t.Context(), At: time.Now().Add(10 * time.Millisecond)}
	err := db.Write(ctx, func(c *sqlite.Conn) error {
		return c.Exec("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n")
	})
	if !errors.Is(err, sqlite3.INTERRUPT) {
		t.Errorf("got %v", err)
	}
	if n := number(t, db, "SELECT 1"); n != 1 {
		t.Error("the connection is of no use after an interrupt")
	}
}

func TestOverloaded(t *testing.T) {
	db := open(t, sqlite.Options{Wait: time.Millisecond})
	err := db.Write(t.Context(), func(*sqlite.Conn) error {
		return db.Write(t.Context(), func(*sqlite.Conn) error { return nil })
	})
	if !errors.Is(err, sqlite.ErrOverloaded) {
		t.Errorf("got %v", err)
	}
}

func TestWaiting(t *testing.T) {
	db := open(t, sqlite.Options{})
	var waiter sync.WaitGroup
	db.Write(t.Context(), func(*sqlite.Conn) error {
		waiter.Go(func() { db.Write(t.Context(), func(*sqlite.Conn) error { return nil }) })
		if !poll.Within(poll.Patience, func() bool { return db.Waiting() == 1 }) {
			t.Errorf("%d wait, want 1", db.Waiting())
		}
		return nil
	})
	waiter.Wait()
	if n := db.Waiting(); n != 0 {
		t.Errorf("%d wait, want none", n)
	}
}

func TestBackup(t *testing.T) {
	db := open(t, sqlite.Options{})
	exec(t, db, "CREATE TABLE t(a)")
	exec(t, db, "INSERT INTO t VALUES(randomblob(1000000))")
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := db.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(t.Context(), path); err == nil || !strings.Contains(err.Error(), "file exists") {
		t.Errorf("a backup onto a file: %v", err)
	}
	again, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if n := number(t, again, "SELECT length(a) FROM t"); n != 1000000 {
		t.Errorf("the copy has %d bytes", n)
	}
}

func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if db, err := sqlite.Open(path, sqlite.Options{}); !errors.Is(err, sqlite3.NOTADB) {
		t.Errorf("got %v %v", db, err)
	}
	if _, err := sqlite.Open(filepath.Join(path, "below"), sqlite.Options{}); err == nil {
		t.Error("a file was opened below a file")
	}
}

func TestClosed(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "x.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := db.Read(context.Background(), nil); !errors.Is(err, sqlite.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// TestAuthorizer: SQL from outside is judged, our own is not, and a compiled
// statement of ours never serves SQL from outside.
func TestAuthorizer(t *testing.T) {
	db := open(t, sqlite.Options{Setup: func(c *sqlite.Conn) error {
		return c.SetAuthorizer(func(a sqlite.Action, _, _, _, _ string) sqlite.Verdict {
			if a == sqlite3.AUTH_PRAGMA {
				return sqlite.Deny
			}
			return sqlite.Allow
		})
	}})
	err := db.Write(t.Context(), func(c *sqlite.Conn) error {
		outside := func() error { return c.Exec("PRAGMA page_count") }
		if err := outside(); !errors.Is(err, sqlite3.AUTH) {
			t.Errorf("from outside: %v", err)
		}
		if err := c.Trusted(outside); err != nil {
			t.Errorf("trusted: %v", err)
		}
		if err := outside(); !errors.Is(err, sqlite3.AUTH) {
			t.Errorf("from outside, after ours: %v", err)
		}
		return c.Tx(func() error { return c.Exec("SELECT 1") })
	})
	if err != nil {
		t.Error(err)
	}
}

// TestStatementCache: a cached statement sees changes of the schema, and
// nested use of one text works.
func TestStatementCache(t *testing.T) {
	db := open(t, sqlite.Options{Statements: 2})
	exec(t, db, "CREATE TABLE t(a)")
	exec(t, db, "INSERT INTO t VALUES(1)")
	columns := func() string {
		var names []string
		err := db.Read(t.Context(), func(c *sqlite.Conn) error {
			return c.Query("SELECT * FROM t", nil, func(s *sqlite.Stmt) error { names = s.Columns(); return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(names, ",")
	}
	for range 3 {
		columns()
	}
	exec(t, db, "ALTER TABLE t ADD COLUMN b")
	for range 2 { // once on each reader, if need be
		if got := columns(); got != "a,b" {
			t.Errorf("columns are %s after a change of the schema", got)
		}
	}
	err := db.Read(t.Context(), func(c *sqlite.Conn) error {
		n := 0
		one := "SELECT 1 UNION SELECT 2"
		err := c.Query(one, nil, func(*sqlite.Stmt) error {
			return c.Query(one, nil, func(*sqlite.Stmt) error {
				n++
				for _, other := range []string{"SELECT 3", "SELECT 4", "SELECT 5"} {
					if err := c.Exec(other); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if n != 4 {
			t.Errorf("nested use of a statement gave %d rows, want 4", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

func TestPeekChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd %?#.sqlite")
	db, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(sql string) {
		t.Helper()
		if err := db.Write(t.Context(), func(c *sqlite.Conn) error { return c.Exec(sql) }); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		before string
		found  bool
	}{
		{"SELECT 1", false}, // no such table
		{"CREATE TABLE t (x)", false},
		{"INSERT INTO t VALUES (1)", true},
	} {
		exec(c.before)
		if found, err := sqlite.Peek(path, "SELECT 1 FROM t LIMIT 1"); err != nil || found != c.found {
			t.Errorf("after %s: %t, %v", c.before, found, err)
		}
	}
	if _, err := sqlite.Peek(path, "DELETE FROM t RETURNING 1"); !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("a statement that writes: %v", err)
	}
	if _, err := sqlite.Peek(path+".missing", "SELECT 1"); err == nil {
		t.Error("a missing file is no error")
	}
	if _, err := os.Stat(path + ".missing"); err == nil {
		t.Error("a missing file is created")
	}
}

func TestOpenSQLTakesTheTurnToWriteAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd %?#.sqlite")
	db, err := sqlite.OpenSQL(path, 2, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	first, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback()
	if _, err := db.BeginTx(context.Background(), nil); !errors.Is(err, sqlite3.BUSY) {
		t.Errorf("a second transaction that may write: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestDiskFull(t *testing.T) {
	for _, c := range []struct {
		err  error
		full bool
	}{
		{fmt.Errorf("write: %w", syscall.ENOSPC), true}, {sqlite3.FULL, true}, {sqlite3.IOERR_WRITE, true},
		{sqlite3.CONSTRAINT, false}, {os.ErrNotExist, false}, {nil, false},
	} {
		if sqlite.DiskFull(c.err) != c.full {
			t.Errorf("%v: want %t", c.err, c.full)
		}
	}
}

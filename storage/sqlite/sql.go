package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver" // registers "sqlite3"
)

// OpenSQL opens the file at path as a pool of up to connections connections for
// package database/sql, and creates it when it does not exist. It is for our own
// tables whose changes span several: every transaction that is not read-only
// takes the turn to write at its beginning, so that two processes never find out
// at commit that both have written. Commits are as with SyncFull, foreign keys
// are enforced, and a lock of another process is waited for as long as wait.
func OpenSQL(path string, connections int, wait time.Duration) (*sql.DB, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", wait.Milliseconds()), "journal_mode(wal)", "synchronous(full)", "foreign_keys(on)",
	}}
	db, err := sql.Open("sqlite3", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Peek reports whether a query finds a row in a file that another process
// writes. It changes nothing. Of a table that does not exist there are no rows.
func Peek(path, query string) (found bool, err error) {
	uri := url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro"}
	c, err := sqlite3.OpenFlags(uri.String(), sqlite3.OPEN_READONLY|sqlite3.OPEN_URI)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	s, _, err := c.Prepare(query)
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return false, nil
		}
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	defer s.Close()
	found = s.Step()
	return found, s.Err()
}

// Damaged reports that an error says that a file is no database, or not a whole
// one.
func Damaged(err error) bool {
	return errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT)
}

// DiskFull reports that an error says that the disk is full, or failing: SQLite
// tells a full disk in several ways, of which some can also be a broken one.
func DiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, sqlite3.FULL) || errors.Is(err, sqlite3.IOERR)
}

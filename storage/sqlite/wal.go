package sqlite

import (
	"context"
	"fmt"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
)

// Frames is how many frames of the write-ahead log hold committed pages,
// whether or not they have been moved into the file.
func (c *Conn) Frames() (int, error) {
	frames, _, err := c.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_NOOP)
	return frames, err
}

// Checkpoint moves as much of the write-ahead log into the file as readers
// allow, without waiting for them.
func (c *Conn) Checkpoint() error {
	_, _, err := c.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	return err
}

// Replace gives the database the content of the SQLite file at path in one
// transaction, which it commits. The file must not be in WAL mode and nobody
// may change it meanwhile. It is not interrupted by a context.
func (c *Conn) Replace(path string) error {
	if !c.conn.GetAutocommit() {
		return fmt.Errorf("replace a database: a transaction is open")
	}
	if err := c.conn.Restore("main", fileURI(path)+"?immutable=1"); err != nil {
		return err
	}
	// SQLite tells of a commit at the end of a statement, which this was not.
	return c.trusted(func() error { return c.Exec("SELECT 1") })
}

// CheckFile runs SQLite's quick check on a file that nobody has open and
// returns what it found as an error. The file must not be in WAL mode.
func CheckFile(ctx context.Context, path string) error {
	conn, err := sqlite3.OpenContext(sqlite3.WithMaxMemory(ctx, 256<<20), fileURI(path)+"?immutable=1")
	if err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	defer conn.Close()
	if err := fts5.Register(conn); err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	conn.SetInterrupt(ctx)
	s, _, err := conn.Prepare("PRAGMA quick_check(1)")
	if err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	defer s.Close()
	found := "nothing"
	if s.Step() {
		found = s.ColumnText(0)
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	if found != "ok" {
		return fmt.Errorf("%s is damaged: %s", path, found)
	}
	return nil
}

package d1

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/storage/history"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// Database is one D1 database. It is safe for concurrent use and stays valid
// until the database is deleted or the store closed; its file is opened when
// needed and closed when idle.
type Database struct {
	store *Store
	id    string
	path  string

	mu      sync.Mutex // guards the fields below
	file    *sqlite.DB // nil while closed
	history *history.History
	users   int       // calls in progress
	used    time.Time // end of the last call
	deleted bool

	lastRowID atomic.Int64
	size      atomic.Int64  // bytes, after the last write
	counted   atomic.Int64  // the part of Store.used that is its
	bookmark  atomic.Uint64 // of the last write, Unix microseconds or a little more
}

// ID is the database's UUID.
func (d *Database) ID() string { return d.id }

// acquire opens the file if it is closed and keeps it open until release.
func (d *Database) acquire() (*sqlite.DB, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deleted {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, d.id)
	}
	if d.file == nil {
		if err := d.store.makeRoom(d); err != nil {
			return nil, err
		}
		if err := d.open(); err != nil {
			return nil, err
		}
	}
	d.users++
	return d.file, nil
}

// checkFile refuses to begin an empty database where there was one: a history is
// made with the file and removed before it.
func (d *Database) checkFile() error {
	if info, err := os.Stat(d.path); err == nil && info.Size() > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(historyPath(d.path)); err != nil {
		return nil // it has never been opened
	}
	return fmt.Errorf("the file of database %s is lost, %s: put it back, restore a backup into a new directory, or delete the database", d.id, filepath.Base(d.path))
}

func (d *Database) open() error {
	if err := d.checkFile(); err != nil {
		return err
	}
	o := d.store.opts
	var h *history.History
	file, err := sqlite.Open(d.path, sqlite.Options{
		Sync: o.Sync, MaxSize: o.MaxSize, Setup: setUp,
		OwnCheckpoints: true,
		Committed:      func(c *sqlite.Conn, frames int) { d.bookmark.Store(h.Committed(c, frames)) },
		Closing:        func(c *sqlite.Conn) bool { return h != nil && h.Close(c) },
	})
	if err != nil {
		return err
	}
	err = file.Write(context.Background(), func(c *sqlite.Conn) (err error) {
		d.count(c.Note.(*policy).size())
		h, err = history.Open(c, d.path, historyPath(d.path), history.Options{
			Now: o.Now, Budget: o.MaxHistory, Sync: o.Sync == sqlite.SyncFull,
		})
		return err
	})
	if err != nil {
		file.Close()
		return err
	}
	d.bookmark.Store(h.Bookmark())
	d.file, d.history = file, h
	d.store.open.Add(1)
	return nil
}

func (d *Database) release() {
	now := d.store.opts.Now()
	d.mu.Lock()
	d.users--
	d.used = now
	d.mu.Unlock()
}

// closeIdle closes the file if nobody has used it since before.
func (d *Database) closeIdle(before time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil || d.users > 0 || !d.used.Before(before) {
		return nil
	}
	return d.closeFile()
}

// closeFile closes the file; d.mu is held.
func (d *Database) closeFile() error {
	if d.file == nil {
		return nil
	}
	file := d.file
	d.file = nil
	d.store.open.Add(-1)
	return file.Close()
}

// Bookmark names the state of the database after the last write. Bookmarks
// grow with every change, compared as strings.
func (d *Database) Bookmark() (string, error) {
	if _, err := d.acquire(); err != nil {
		return "", err
	}
	defer d.release()
	return d.mark(), nil
}

func (d *Database) mark() string { return formatBookmark(d.bookmark.Load()) }

// Backup writes a consistent copy of the database to path, which must not
// exist, while the database is in use.
func (d *Database) Backup(ctx context.Context, path string) error {
	file, err := d.acquire()
	if err != nil {
		return err
	}
	defer d.release()
	return file.Backup(ctx, path)
}

// Check reports damage to the file as an error.
func (d *Database) Check(ctx context.Context) error {
	file, err := d.acquire()
	if err != nil {
		return err
	}
	defer d.release()
	return file.Check(ctx)
}

func (d *Database) remove() error {
	// What is left of a history is of no use to anything.
	first := os.RemoveAll(historyPath(d.path))
	// The log goes first: a log without its database is never read, but a
	// database must not meet the log of another one.
	for _, suffix := range []string{"-wal", "-shm", "-journal", ""} {
		if err := os.Remove(d.path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			first = errors.Join(first, err)
		}
	}
	return first
}

func historyPath(path string) string { return strings.TrimSuffix(path, ".sqlite") + ".history" }

func databasePath(dir, id string) string { return filepath.Join(dir, id+".sqlite") }

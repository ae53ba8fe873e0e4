// Package sqlite opens SQLite files the way the rest of Selvage needs them:
// one writer and a few readers per file in WAL mode, statements cached, long
// statements interrupted by a context, and memory bounded so that no SQL text
// can take the process down.
//
// # Durability
//
// With [SyncNormal] (the default) a statement that returned without error
// survives the death of this process at any moment, kill -9 included, because
// its pages are in the operating system's cache. A power failure or a kernel
// crash may lose the last commits before the most recent checkpoint; the file
// is never corrupt. With [SyncFull] every commit is flushed to the disk first
// and survives power failure as far as the disk tells the truth.
//
// # Concurrency
//
// A [DB] is safe for concurrent use. Writers take turns; readers see the last
// commit at the moment they start and never wait for the writer. Several
// processes may open the same file.
//
// Source: https://sqlite.org/wal.html, https://sqlite.org/pragma.html#pragma_synchronous
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// Sync says what an acknowledged commit survives; see the package comment.
type Sync string

// The levels of durability.
const (
	SyncNormal Sync = "NORMAL" // kill -9 of the process
	SyncFull   Sync = "FULL"   // power failure too
)

// Options say how a file is opened. The zero value is right for our own tables.
type Options struct {
	// Sync defaults to SyncNormal.
	Sync Sync
	// Readers is the number of connections that may read at once. Default:
	// the number of processors, at least 2 and at most 8.
	Readers int
	// Wait bounds the time that Read and Write wait for their turn, and that
	// a statement waits for another process's lock. Default 5 s.
	Wait time.Duration
	// Statements is how many prepared statements each connection keeps.
	// Default 64.
	Statements int
	// MaxHeap bounds the memory of one connection in bytes; beyond it the
	// operation fails with ErrMemory. Default 64 MiB, at most 256 MiB.
	MaxHeap int64
	// CacheSize bounds the page cache of one connection in bytes. Default 2 MiB.
	CacheSize int64
	// MaxSize bounds the file in bytes; beyond it statements fail with
	// SQLITE_FULL. Zero: no bound.
	MaxSize int64
	// Setup is called with every new connection, before its first use.
	Setup func(*Conn) error
	// Committed, if it is set, is called at the end of every Write that
	// committed something, whatever Write returns, with the turn to write still
	// taken; frames is the length of the write-ahead log. It makes checkpoints
	// the caller's task: see [Options.OwnCheckpoints].
	Committed func(c *Conn, frames int)
	// Closing, if it is set, is called by Close with the connection that
	// writes, the last one to be closed. If it reports true, the log may be
	// moved into the file and removed although OwnCheckpoints is set.
	Closing func(c *Conn) bool
	// OwnCheckpoints: the log is moved into the file only by [Conn.Checkpoint],
	// not after commits nor when the file is closed.
	OwnCheckpoints bool
}

// Errors of a DB. SQLite's own errors are *sqlite3.Error.
var (
	// ErrOverloaded: the operation waited for its turn longer than Options.Wait.
	ErrOverloaded = errors.New("sqlite: waited too long for a connection")
	// ErrMemory: the operation needed more memory than Options.MaxHeap. Its
	// transaction was rolled back and its connection replaced.
	ErrMemory = errors.New("sqlite: connection exceeded its memory limit")
	// ErrClosed: the database was closed.
	ErrClosed = errors.New("sqlite: database is closed")
)

// DB is one file: a connection that writes and a few that read, all opened on
// first use.
type DB struct {
	path string
	opts Options

	// Each channel holds one element per connection that is not in use; nil
	// stands for one that is not open yet.
	write, read chan *Conn
	waiting     atomic.Int64 // for one of them

	closing chan struct{}
	close   sync.Once
}

// Open opens the file at path, which must not be a URI, and creates it when it
// does not exist; the directory must exist.
func Open(path string, o Options) (*DB, error) {
	if o.Sync == "" {
		o.Sync = SyncNormal
	}
	if o.Readers == 0 {
		o.Readers = min(max(runtime.GOMAXPROCS(0), 2), 8)
	}
	if o.Wait == 0 {
		o.Wait = 5 * time.Second
	}
	if o.Statements == 0 {
		o.Statements = 64
	}
	if o.MaxHeap == 0 {
		o.MaxHeap = 64 << 20
	}
	if o.CacheSize == 0 {
		o.CacheSize = 2 << 20
	}
	db := &DB{
		path: path, opts: o,
		write: make(chan *Conn, 1), read: make(chan *Conn, o.Readers),
		closing: make(chan struct{}),
	}
	// The writer is opened now so that a bad file is reported here and so that
	// readers find the file in WAL mode.
	w, err := open(path, o, false)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.write <- w
	for range o.Readers {
		db.read <- nil
	}
	return db, nil
}

// Path is the path the database was opened with.
func (db *DB) Path() string { return db.path }

// Waiting is how many calls wait for a connection.
func (db *DB) Waiting() int { return int(db.waiting.Load()) }

// Write calls f with the connection that may write. f sees every earlier
// commit. A transaction that f leaves open is rolled back.
func (db *DB) Write(ctx context.Context, f func(*Conn) error) error {
	return db.use(ctx, db.write, false, f)
}

// Read calls f with a connection that can only read. f may call Tx to see one
// state in several statements.
func (db *DB) Read(ctx context.Context, f func(*Conn) error) error {
	return db.use(ctx, db.read, true, f)
}

func (db *DB) use(ctx context.Context, pool chan *Conn, readOnly bool, f func(*Conn) error) (err error) {
	c, err := db.take(ctx, pool)
	if err != nil {
		return err
	}
	defer func() { pool <- c }()
	if c == nil {
		if c, err = open(db.path, db.opts, readOnly); err != nil {
			return fmt.Errorf("open %s: %w", db.path, err)
		}
	}
	err = c.guard(ctx, f)
	if !c.broken {
		c.conn.HardHeapLimit(db.opts.MaxHeap)
	}
	if c.frames > 0 && db.opts.Committed != nil {
		db.opts.Committed(c, c.frames)
		c.frames = 0
	}
	if err != nil {
		if c.broken || c.grown {
			c.discard()
			c = nil
		}
		return err
	}
	if c.grown {
		err, c = c.close(), nil // what was asked for has happened
		if err != nil {
			return fmt.Errorf("close %s: %w", db.path, err)
		}
	}
	return nil
}

func (db *DB) take(ctx context.Context, pool chan *Conn) (*Conn, error) {
	select {
	case <-db.closing:
		return nil, ErrClosed
	default:
	}
	select {
	case c := <-pool:
		return c, nil
	default:
	}
	db.waiting.Add(1)
	defer db.waiting.Add(-1)
	timer := time.NewTimer(db.opts.Wait)
	defer timer.Stop()
	select {
	case c := <-pool:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, ErrOverloaded
	case <-db.closing:
		return nil, ErrClosed
	}
}

// Close waits for the operations in progress, moves the write-ahead log into
// the file, unless Options.OwnCheckpoints is set, and closes it. Later calls
// fail with ErrClosed.
func (db *DB) Close() error {
	var first error
	db.close.Do(func() {
		close(db.closing)
		for range cap(db.read) {
			if c := <-db.read; c != nil {
				first = errors.Join(first, c.close())
			}
		}
		if c := <-db.write; c != nil {
			if db.opts.Closing != nil && db.opts.Closing(c) {
				_, err := c.conn.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, false)
				first = errors.Join(first, err)
			}
			first = errors.Join(first, c.close())
		}
	})
	return first
}

// Backup writes a consistent copy to path, which must not exist, while the
// database is in use. The copy is flushed to the disk and appears atomically.
func (db *DB) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("back up to %s: file exists", path)
	}
	partial := path + ".partial"
	os.Remove(partial)
	defer os.Remove(partial)
	err := db.Read(ctx, func(c *Conn) error {
		// One step copies everything under one read transaction: writers go
		// on, and a copy never has to start again because of them.
		return c.conn.Backup("main", partial)
	})
	if err == nil {
		err = syncFile(partial)
	}
	if err == nil {
		err = os.Rename(partial, path)
	}
	if err != nil {
		return fmt.Errorf("back up to %s: %w", path, err)
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Check runs SQLite's integrity check and returns what it found as an error.
func (db *DB) Check(ctx context.Context) error {
	return db.Read(ctx, func(c *Conn) error {
		return c.trusted(func() error {
			return c.Query("PRAGMA integrity_check(1)", nil, func(s *Stmt) error {
				if text := s.ColumnText(0); text != "ok" {
					return fmt.Errorf("%s is damaged: %s", db.path, text)
				}
				return nil
			})
		})
	})
}

// Checkpoint moves the write-ahead log into the file and empties it.
func (db *DB) Checkpoint(ctx context.Context) error {
	return db.Write(ctx, func(c *Conn) error {
		_, _, err := c.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
		return err
	})
}

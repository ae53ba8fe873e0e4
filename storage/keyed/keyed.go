// Package keyed is the node's ordered key-value store: one Pebble instance
// that KV, queues and other keyed state share.
//
// # Promises
//
//   - Durable when acknowledged: [DB.Set], [DB.Delete] and [Batch.Commit] return
//     after the write-ahead log has reached the disk. Concurrent commits share
//     one fsync, so throughput grows with the number of writers.
//   - Atomic: a [Batch] takes effect as a whole or not at all, also when the
//     process is killed in the middle of it.
//   - Read your writes: once a commit has returned, every later read sees it.
//   - Last commit wins: commits have one total order.
//   - A full disk is survived: commits fail with ENOSPC while it lasts, reads go
//     on. The last 32 MiB of the disk are left alone for that.
//
// What is written with [Batch.CommitUnsynced] is durable together with the next
// durable commit; until then a crash may undo it.
//
// # Keys
//
// The first byte of a key says whose it is; the constants of type [Space] list
// the owners. Keys sort bytewise. Values should stay below 64 KiB; larger ones
// belong into package blob with a digest here.
//
// Source: https://github.com/cockroachdb/pebble
package keyed

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// Space is the first byte of every key of one owner. A byte is never given to
// another owner later: old data may still hold it.
type Space = byte

// The owners of keys.
const (
	SpaceKV       Space = 'k'
	SpaceQueue    Space = 'q'
	SpaceR2       Space = 'r'
	SpaceWorkflow Space = 'w'
	SpaceCron     Space = 'c'
)

// formatVersion is the on-disk format. Raising it upgrades existing stores when
// they are opened, after which older programs cannot read them.
const formatVersion = pebble.FormatTableFormatV6

// Options tune a DB. The zero value is a good choice for a small server.
type Options struct {
	// CacheBytes bounds the cache of blocks read from disk. Default 64 MiB.
	CacheBytes int64
	// MemTableBytes is the size at which recent writes move from memory to a
	// file; up to two of these are held. Default 16 MiB.
	MemTableBytes uint64
	// MustExist: a directory without a store is an error, not a new store.
	MustExist bool
	// Logger receives problems at level Error and the engine's own notes at
	// level Debug. Default slog.Default().
	Logger *slog.Logger
}

// DB is an open store. It is safe for concurrent use.
type DB struct {
	p     *pebble.DB
	cache *pebble.Cache
	free  func() (uint64, error) // bytes on the disk

	writing atomic.Int64
}

// Writing is how many writes are not durable yet.
func (d *DB) Writing() int { return int(d.writing.Load()) }

// Open opens the store in dir and creates it if it is not there. One process
// at a time can hold a directory.
func Open(dir string, o Options) (*DB, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 16 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if err := RoomToStart(dir); err != nil {
		return nil, fmt.Errorf("open keyed store: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open keyed store: %w", err)
	}
	po := &pebble.Options{
		FormatMajorVersion: formatVersion,
		MemTableSize:       o.MemTableBytes,
		ErrorIfNotExists:   o.MustExist,
		Logger:             logger{o.Logger.With("store", "keyed")},
	}
	// With a filter, asking for a key that does not exist costs no disk read.
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	cache := pebble.NewCache(o.CacheBytes)
	po.Cache = cache
	p, err := pebble.Open(dir, po)
	if err != nil {
		cache.Unref()
		if errors.Is(err, pebble.ErrDBDoesNotExist) {
			return nil, fmt.Errorf("open keyed store: %s has lost its files: put them back or restore a backup", dir)
		}
		// The lock of another process is an errno, that of this one only a text.
		if errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "lock held by current process") {
			return nil, fmt.Errorf("open keyed store: %s is in use by another selvage; stop it or choose another --data directory", dir)
		}
		return nil, fmt.Errorf("open keyed store %s: %w", dir, err)
	}
	return &DB{p: p, cache: cache, free: func() (uint64, error) { return freeBytes(dir) }}, nil
}

// Close closes the store. Every Value and Scan must be done.
func (d *DB) Close() error {
	err := d.p.Close()
	d.cache.Unref()
	if err != nil {
		return fmt.Errorf("close keyed store: %w", err)
	}
	return nil
}

// Value is what Get found. Its bytes are the engine's own memory: they must not
// be changed, nor used after Release.
type Value struct {
	Bytes  []byte
	closer io.Closer
}

// Release gives the memory back. It is harmless on the zero Value.
func (v Value) Release() {
	if v.closer != nil {
		v.closer.Close() // only reports errors that Get has already returned
	}
}

// Get finds the value of key and whether there is one. The caller must Release
// the value when found is true.
func (d *DB) Get(key []byte) (v Value, found bool, err error) {
	b, closer, err := d.p.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return Value{}, false, nil
	}
	if err != nil {
		return Value{}, false, fmt.Errorf("get from keyed store: %w", err)
	}
	return Value{Bytes: b, closer: closer}, true, nil
}

// Set stores value under key, durably.
func (d *DB) Set(key, value []byte) error {
	return d.write("set in", func() error { return d.p.Set(key, value, pebble.Sync) })
}

// Delete removes key, durably. It is no error if there is none.
func (d *DB) Delete(key []byte) error {
	return d.write("delete from", func() error { return d.p.Delete(key, pebble.Sync) })
}

// write runs a write if there is room for it; what begins its error.
func (d *DB) write(what string, f func() error) error {
	err := d.room()
	if err == nil {
		d.writing.Add(1)
		defer d.writing.Add(-1)
		err = f()
	}
	if err != nil {
		return fmt.Errorf("%s keyed store: %w", what, err)
	}
	return nil
}

// Sync makes durable whatever a reader can see now. Commits become visible a
// moment before they are durable, so call it before doing something outside the
// store that must not outlive what was read, such as deleting a file.
func (d *DB) Sync() error {
	if err := d.p.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("sync keyed store: %w", err)
	}
	return nil
}

// Scan calls f with each key from lower (inclusive) up to upper (exclusive), in
// order, until f returns false. It sees the store as it was at the call. Key
// and value are valid only during the call of f.
func (d *DB) Scan(lower, upper []byte, f func(key, value []byte) bool) error {
	it, err := d.p.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("scan keyed store: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			it.Close()
			return fmt.Errorf("scan keyed store: %w", err)
		}
		if !f(it.Key(), value) {
			break
		}
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("scan keyed store: %w", err)
	}
	return nil
}

// After is the least key greater than every key that starts with prefix: the
// upper bound of a Scan over that prefix. It is nil, no bound, when prefix
// consists of 0xff only.
func After(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

// Checkpoint writes a consistent copy of the store to dir, which must not
// exist. Files are hard links where the file system allows it. Reads and
// writes go on meanwhile; every commit acknowledged before the call is in it.
func (d *DB) Checkpoint(dir string) error {
	if err := d.p.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("checkpoint keyed store to %s: %w", dir, err)
	}
	return nil
}

// logger passes the engine's messages to slog.
type logger struct{ l *slog.Logger }

func (g logger) Infof(format string, args ...any)  { g.l.Debug(fmt.Sprintf(format, args...)) }
func (g logger) Errorf(format string, args ...any) { g.l.Error(fmt.Sprintf(format, args...)) }

// Fatalf is called when the log cannot be written or memory is corrupt. The
// engine relies on it not to return, and nothing more can be promised: stop
// before anything is acknowledged that is not on disk.
func (g logger) Fatalf(format string, args ...any) {
	g.l.Error(fmt.Sprintf(format, args...))
	os.Exit(1)
}

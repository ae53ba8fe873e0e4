// Package capture keeps earlier states of a SQLite database that another process
// writes.
//
// # How
//
// A capture reads the database as it is, without a lock and without SQLite (see
// view.go), so the writer is never kept waiting and finds nothing that it did not
// leave. What is different from the capture before it, page by page, is appended
// to the history, one file for each database. The first capture has everything;
// so a history is about as large as the database, compressed, and what has
// changed since.
//
// Each captured state has a bookmark: a number that grows, the time at which the
// state came to be in Unix microseconds or a little more. A state that has not
// changed keeps its bookmark.
//
// # Durability
//
// A bookmark that was asked for with Sync means the same state for as long as it
// is kept, through kill -9 and power failure. Damage to a history never reaches
// its database: what is rebuilt is built in a file of its own, and every page of
// it is checked.
//
// # Concurrency
//
// One process at a time has a history. A [History] is safe for concurrent use.
package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/storage/disk"
)

// Options configure a History.
type Options struct {
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Keep is how long a state can be gone back to after it was left; default
	// 30 days.
	Keep time.Duration
	// Budget bounds the history in bytes; over it the oldest states are dropped.
	// Between two calls of Trim it may grow to twice as much. Default 1 GiB.
	Budget int64
	// Largest is the size of a database, in bytes, beyond which it has no history.
	// Default 16 GiB.
	Largest int64
}

// Errors of a History.
var (
	// ErrBusy: the database was written faster than it could be read.
	ErrBusy = errors.New("the database is being written all the time")
	// ErrTooLarge: one state alone is larger than the budget. There is no history.
	ErrTooLarge = errors.New("the database is too large for a history")
	// ErrUnknown: the history has no such bookmark.
	ErrUnknown = errors.New("there is no such bookmark")
	// ErrNoDatabase: the file is no database of SQLite, or its log is another's.
	ErrNoDatabase = errors.New("not a database in WAL mode")
	// ErrDamaged: the history does not lead to the state any more.
	ErrDamaged = errors.New("the history is damaged")
)

// GoneError says that a state is older than the history.
type GoneError struct {
	// Oldest is the oldest bookmark there is; 0 if there is none.
	Oldest uint64
}

// Error implements error.
func (e *GoneError) Error() string {
	if e.Oldest == 0 {
		return "there is no history yet"
	}
	return "the history begins at " + Time(e.Oldest).Format(time.RFC3339)
}

// Time is the moment at which the state of a bookmark came to be, or a little
// later.
func Time(bookmark uint64) time.Time { return time.UnixMicro(int64(bookmark)).UTC() }

// History is the history of one database.
type History struct {
	path string // of the database
	file string
	opts Options

	mu     sync.Mutex
	loaded bool
	exists bool
	last   record   // the newest
	first  uint64   // bookmark of the oldest
	hashes []uint64 // of the pages of the newest state
	end    int64    // of the last whole record
	issued uint64   // no bookmark up to here is given out again
}

// New returns the history, in file, of the database at path. Neither needs to
// exist; the folder of file is made when there is something to write.
func New(path, file string, o Options) *History {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Keep == 0 {
		o.Keep = 30 * 24 * time.Hour
	}
	if o.Budget == 0 {
		o.Budget = 1 << 30
	}
	if o.Largest == 0 {
		o.Largest = 16 << 30
	}
	return &History{path: path, file: file, opts: o}
}

// Changed reports whether the database may have changed since the last capture.
// It looks at the times of files only.
func (h *History) Changed() bool {
	seen, err := os.Lstat(h.file)
	if err != nil || !marked(seen.ModTime()) {
		return true
	}
	for _, path := range []string{h.path, h.path + "-wal"} {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || !info.ModTime().Before(seen.ModTime()) {
			return true
		}
	}
	return false
}

// mark is the time that the file of a history has once a state was captured whose
// reading began at seen: what is written from there on is not in it. Any other time
// is that of a write, which a kill or an error may have cut off.
func mark(seen time.Time) time.Time { return seen.Add(-coarse).Truncate(coarse).Add(1) }

func marked(t time.Time) bool { return t.Sub(t.Truncate(coarse)) == 1 }

// load reads what a capture needs to know of the history.
func (h *History) load() error {
	if h.loaded {
		return nil
	}
	f, err := os.Open(h.file)
	if errors.Is(err, fs.ErrNotExist) {
		h.loaded = true
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var last record
	var first uint64
	var hashes []uint64
	end, err := eachRecord(f, info.Size(), func(r *record) (bool, error) {
		l, err := readList(f, r)
		if err != nil {
			return false, nil // what follows cannot be used
		}
		hashes = resize(hashes, r.pages)
		if r.page != last.page {
			clear(hashes)
		}
		for i, p := range l.pages {
			hashes[p-1] = l.hashes[i]
		}
		if first == 0 {
			first = r.bookmark
		}
		last = *r
		return true, nil
	})
	if err != nil {
		return err
	}
	h.last, h.first, h.hashes, h.end = last, first, hashes, end
	h.issued = max(h.issued, last.bookmark)
	h.exists = first > 0
	h.loaded = true
	return nil
}

func resize(hashes []uint64, pages uint32) []uint64 {
	if int(pages) <= len(hashes) {
		return hashes[:pages]
	}
	return append(hashes, make([]uint64, int(pages)-len(hashes))...)
}

// Reserve gives a bookmark that is greater than all before it and less than all
// after it, for a state that is captured later; see Capture.
func (h *History) Reserve() (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.load(); err != nil {
		return 0, err
	}
	h.issued = max(h.issued+1, uint64(max(h.opts.Now().UnixMicro(), 1)))
	return h.issued, nil
}

// How a capture is made.
type How struct {
	// Sync: the bookmark survives a power failure.
	Sync bool
	// Alias is a bookmark from Reserve that the state gets, too.
	Alias uint64
}

// Capture captures the present state and returns its bookmark. If what it could
// not write is not to stay, nothing of it does. ErrBusy: try again when less is
// written.
func (h *History) Capture(ctx context.Context, how How) (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, err := h.capture(ctx, how)
	if err != nil {
		return 0, fmt.Errorf("capture %s: %w", filepath.Base(h.path), err)
	}
	return b, nil
}

// patience is how long a capture tries to read one state.
const patience = 300 * time.Millisecond

func (h *History) capture(ctx context.Context, how How) (uint64, error) {
	if err := h.load(); err != nil {
		return 0, err
	}
	if h.end > 2*h.opts.Budget {
		if err := h.trim(); err != nil {
			return 0, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(h.file), 0o700); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(h.file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if !h.exists {
		if err := errors.Join(f.Truncate(0), writeAt(f, []byte(fileMagic), 0)); err != nil {
			return 0, err
		}
		h.end = int64(len(fileMagic))
	}
	began := time.Now()
	for wait := time.Millisecond; ; wait *= 2 {
		b, err := h.attempt(ctx, f, how)
		if err == nil {
			return b, nil
		}
		if cut := f.Truncate(h.end); cut != nil || !passing(err) {
			h.undo()
			return 0, errors.Join(err, cut)
		}
		if time.Since(began) > patience {
			if errors.Is(err, io.EOF) {
				err = ErrBusy
			}
			h.undo()
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// passing: a database that is being written can look so.
func passing(err error) bool {
	return errors.Is(err, ErrBusy) || errors.Is(err, ErrNoDatabase) || errors.Is(err, io.EOF)
}

func (h *History) attempt(ctx context.Context, f *os.File, how How) (uint64, error) {
	if err := f.Truncate(h.end); err != nil { // what a killed process left
		return 0, err
	}
	seen := time.Now()
	v, err := look(h.path, h.opts.Largest)
	if err != nil {
		return 0, err
	}
	defer v.close()
	r, hashes, err := h.write(ctx, f, v)
	if err != nil {
		return 0, err
	}
	if !v.valid() {
		return 0, ErrBusy
	}
	return h.accept(f, r, hashes, v, seen, how)
}

// undo removes a history that has no state.
func (h *History) undo() {
	if !h.exists {
		os.Remove(h.file)
		h.loaded = false
	}
}

func writeAt(f *os.File, b []byte, at int64) error {
	_, err := f.WriteAt(b, at)
	return err
}

// accept makes r the newest record, unless it says nothing new.
func (h *History) accept(f *os.File, r record, hashes []uint64, v *view, seen time.Time, how How) (uint64, error) {
	same := h.exists && r.changed == 0 && r.pages == h.last.pages && r.page == h.last.page
	if same && how.Alias == 0 {
		if err := f.Truncate(h.end); err != nil {
			return 0, err
		}
	} else {
		now := uint64(max(h.opts.Now().UnixMicro(), 1))
		r.bookmark, r.alias = max(min(uint64(max(v.changed.UnixMicro(), 0)), now), h.issued+1), how.Alias
		if err := writeAt(f, r.encode(), r.at); err != nil {
			return 0, errors.Join(err, f.Truncate(h.end))
		}
		if !h.exists {
			h.first = r.bookmark
		}
		h.last, h.hashes, h.end, h.exists = r, hashes, r.end(), true
		h.issued = max(h.issued, r.bookmark)
	}
	if err := os.Chtimes(h.file, time.Time{}, mark(seen)); err != nil {
		return 0, err
	}
	if how.Sync {
		if err := f.Sync(); err != nil {
			return 0, err
		}
		if err := disk.SyncFolder(filepath.Dir(h.file)); err != nil {
			return 0, err
		}
	}
	return h.last.bookmark, nil
}

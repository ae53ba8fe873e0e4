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
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
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
	if err != nil {
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
			h.tooLarge(err)
			return 0, errors.Join(err, cut)
		}
		if time.Since(began) > patience {
			if errors.Is(err, io.EOF) {
				err = ErrBusy
			}
			h.tooLarge(err)
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

// tooLarge gives up a history that has no state yet.
func (h *History) tooLarge(err error) {
	if errors.Is(err, ErrTooLarge) || !h.exists {
		os.Remove(h.file)
		h.loaded, h.exists = false, false
	}
}

func writeAt(f *os.File, b []byte, at int64) error {
	_, err := f.WriteAt(b, at)
	return err
}

// write writes the data of the next record, and returns its head, to which a
// bookmark is to be given, and the hashes of all pages.
func (h *History) write(ctx context.Context, f *os.File, v *view) (record, []uint64, error) {
	r := record{page: uint32(v.page), pages: v.pages, at: h.end}
	r.base = !h.exists || r.page != h.last.page
	before := h.hashes
	if r.base {
		before = nil
	}
	hashes := make([]uint64, v.pages)
	var l list
	var raw, packed []byte
	at := r.dataAt()
	flush := func() error {
		if len(raw) == 0 {
			return nil
		}
		packed = encoder.EncodeAll(raw, packed[:0])
		l.blocks = append(l.blocks, uint32(len(packed)))
		err := writeAt(f, packed, at)
		at, raw = at+int64(len(packed)), raw[:0]
		if r.base && at-r.at > h.opts.Budget {
			return ErrTooLarge
		}
		return err
	}
	buffer := make([]byte, min(int(v.pages), readPages)*v.page)
	for done := uint32(0); done < v.pages; {
		if err := ctx.Err(); err != nil {
			return r, nil, err
		}
		n := min(v.pages-done, uint32(readPages))
		if err := v.read(done+1, buffer[:int(n)*v.page]); err != nil {
			return r, nil, err
		}
		for i := range n {
			page := buffer[int(i)*v.page:][:v.page]
			number := done + i + 1
			sum := xxhash.Sum64(page)
			hashes[number-1] = sum
			if int(number) <= len(before) && before[number-1] == sum {
				continue
			}
			l.pages, l.hashes = append(l.pages, number), append(l.hashes, sum)
			raw = append(raw, page...)
			if len(l.pages)%blockPages == 0 {
				if err := flush(); err != nil {
					return r, nil, err
				}
			}
		}
		done += n
	}
	if err := flush(); err != nil {
		return r, nil, err
	}
	r.changed, r.dataLen = uint32(len(l.pages)), uint64(at-r.dataAt())
	b := l.encode()
	r.listLen, r.listCRC = uint32(len(b)), crc32.Checksum(b, castagnoli)
	return r, hashes, writeAt(f, b, r.listAt())
}

// readPages is how many pages are read at once.
const readPages = 64

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
	// What is written from here on is not in it; see Changed.
	if err := os.Chtimes(h.file, time.Time{}, seen.Add(-coarse)); err != nil {
		return 0, err
	}
	if how.Sync {
		if err := f.Sync(); err != nil {
			return 0, err
		}
		if err := syncDir(filepath.Dir(h.file)); err != nil {
			return 0, err
		}
	}
	return h.last.bookmark, nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Find gives the bookmark of the newest captured state that is not younger than
// a time in Unix microseconds. The error is a *GoneError if there is none.
func (h *History) Find(at uint64) (uint64, error) {
	found, oldest := uint64(0), uint64(0)
	err := h.each(func(r *record) bool {
		if oldest == 0 {
			oldest = r.bookmark
		}
		if r.bookmark > at {
			return false
		}
		found = r.bookmark
		return true
	})
	if err == nil && found == 0 {
		err = &GoneError{oldest}
	}
	return found, err
}

// Has reports whether a bookmark, or alias, is one of a state that is kept. The
// error is a *GoneError if it is older than those, and ErrUnknown if it is not.
func (h *History) Has(bookmark uint64) error {
	found, oldest := false, uint64(0)
	err := h.each(func(r *record) bool {
		if oldest == 0 {
			oldest = r.bookmark
		}
		found = r.is(bookmark)
		return !found
	})
	switch {
	case err != nil || found:
		return err
	case oldest == 0 || bookmark < oldest:
		return &GoneError{oldest}
	}
	return ErrUnknown
}

func (r *record) is(bookmark uint64) bool { return r.bookmark == bookmark || r.alias == bookmark }

func (h *History) each(visit func(*record) bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.load(); err != nil || !h.exists {
		return err
	}
	f, err := os.Open(h.file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = eachRecord(f, h.end, func(r *record) (bool, error) { return visit(r), nil })
	return err
}

// Rebuild writes the state of a bookmark, or alias, to a new file at path, which
// is a database without a log. The error is as with Has, if it is that.
func (h *History) Rebuild(ctx context.Context, bookmark uint64, path string) error {
	if err := h.Has(bookmark); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := os.Open(h.file)
	if err != nil {
		return err
	}
	defer f.Close()
	s, err := stateAt(f, h.end, func(r *record) bool { return r.is(bookmark) })
	if err != nil {
		return err
	}
	to, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	err = s.each(ctx, func(page uint32, b []byte, _ uint64) error {
		return writeAt(to, b, int64(page-1)*int64(s.last.page))
	})
	if err == nil && s.last.pages > 0 {
		_, err = to.WriteAt([]byte{1, 1}, 18) // it is opened without a log
	}
	return err
}

// state says where the pages of one state are.
type state struct {
	f       *os.File
	records []record
	last    record
	in      []uint32 // by page, the record that has it, counted from 1
}

// stateAt finds the newest state up to the first record for which is holds.
func stateAt(f *os.File, size int64, is func(*record) bool) (*state, error) {
	s := &state{f: f}
	done := false
	_, err := eachRecord(f, size, func(r *record) (bool, error) {
		if done {
			return false, nil
		}
		l, err := readList(f, r)
		if err != nil {
			return false, err
		}
		if r.base {
			clear(s.in)
		}
		if int(r.pages) <= len(s.in) {
			s.in = s.in[:r.pages]
		} else {
			s.in = append(s.in, make([]uint32, int(r.pages)-len(s.in))...)
		}
		s.records, s.last = append(s.records, *r), *r
		for _, p := range l.pages {
			s.in[p-1] = uint32(len(s.records))
		}
		done = is(r)
		return true, nil
	})
	if err == nil && !done {
		err = ErrUnknown
	}
	for i := range s.in {
		if s.in[i] == 0 {
			return nil, ErrDamaged
		}
	}
	return s, err
}

// each calls visit with every page, in the order of the records.
func (s *state) each(ctx context.Context, visit func(page uint32, b []byte, hash uint64) error) error {
	for i := range s.records {
		r := &s.records[i]
		l, err := readList(s.f, r)
		if err != nil {
			return err
		}
		at := r.dataAt()
		for k, length := range l.blocks {
			first := k * blockPages
			pages := l.pages[first:min(first+blockPages, len(l.pages))]
			if err := ctx.Err(); err != nil {
				return err
			}
			if s.wants(pages, i) {
				packed := make([]byte, length)
				if _, err := s.f.ReadAt(packed, at); err != nil {
					return err
				}
				raw, err := decodeBlock(packed, len(pages), r.page)
				if err != nil {
					return err
				}
				for j, p := range pages {
					if int(p) > len(s.in) || s.in[p-1] != uint32(i+1) {
						continue
					}
					b := raw[j*int(r.page):][:r.page]
					if xxhash.Sum64(b) != l.hashes[first+j] {
						return ErrDamaged
					}
					if err := visit(p, b, l.hashes[first+j]); err != nil {
						return err
					}
				}
			}
			at += int64(length)
		}
	}
	return nil
}

// wants: one of the pages is needed from record i.
func (s *state) wants(pages []uint32, i int) bool {
	for _, p := range pages {
		if int(p) <= len(s.in) && s.in[p-1] == uint32(i+1) {
			return true
		}
	}
	return false
}

// Remove deletes the history.
func (h *History) Remove() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loaded, h.exists = false, false
	err := os.Remove(h.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

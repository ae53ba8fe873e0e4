package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"time"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// ErrUnknown: the bookmark is newer than the newest.
var ErrUnknown = errors.New("there is no such bookmark")

// ErrUnfit: the segments do not lead back from the present state, because a
// file of the history is damaged or the database was changed by another
// program.
var ErrUnfit = errors.New("the history does not lead there")

// GoneError says that a state is older than the history.
type GoneError struct {
	// Oldest is the oldest bookmark there is.
	Oldest uint64
	// Cause is the damage that ends the history there; nil if it is its age.
	Cause error
}

// Error implements error.
func (e *GoneError) Error() string {
	text := fmt.Sprintf("the history begins at %s", Time(e.Oldest).Format(time.RFC3339))
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *GoneError) Unwrap() error { return e.Cause }

// Time is the moment that a bookmark was made, or a little later.
func Time(bookmark uint64) time.Time { return time.UnixMicro(int64(bookmark)).UTC() }

// Find gives the bookmark of the state that the database was in at a bookmark
// or at a time in Unix microseconds: the last one that is not greater. The
// error is a *GoneError if that was before the history.
func (h *History) Find(bookmark uint64) (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m, _, err := h.find(bookmark)
	return m.bookmark, err
}

// find gives the mark of a bookmark and the index of its segment in h.stored,
// which is its length if it is in none.
func (h *History) find(bookmark uint64) (mark, int, error) {
	if err := h.list(); err != nil {
		return mark{}, 0, err
	}
	if m, ok := at(h.live, bookmark); ok {
		return m, len(h.stored), nil
	}
	oldest := h.live[0].bookmark
	for i := len(h.stored) - 1; i >= 0; i-- {
		s, err := openSegment(h.storedPath(h.stored[i]))
		if err == nil && s.last != oldest {
			s.close()
			err = fmt.Errorf("%w: segment %d does not lead to the one after it", ErrUnfit, h.stored[i].seq)
		}
		if err != nil {
			return mark{}, 0, &GoneError{oldest, err}
		}
		if oldest = s.first; bookmark < s.first {
			s.close()
			continue
		}
		_, marks, err := s.index()
		s.close()
		if err != nil {
			return mark{}, 0, &GoneError{s.last, err}
		}
		m, _ := at(marks, bookmark)
		return m, i, nil
	}
	return mark{}, 0, &GoneError{Oldest: oldest}
}

// at gives the last mark that is not after a bookmark.
func at(marks []mark, bookmark uint64) (mark, bool) {
	i := sort.Search(len(marks), func(i int) bool { return marks[i].bookmark > bookmark })
	if i == 0 {
		return mark{}, false
	}
	return marks[i-1], true
}

// Restore puts the database back to the state of a bookmark, or, if that one is
// not kept exactly, to the nearest kept one before it; target is the bookmark
// of the state that was restored. previous is that of the state before. All of
// it is one transaction of c, which others see as a whole and which gets a
// bookmark of its own. The disk needs room for two more copies of the database.
func (h *History) Restore(ctx context.Context, c *sqlite.Conn, bookmark uint64) (target, previous uint64, err error) {
	temporary := h.restorePath()
	defer os.Remove(temporary)
	target, previous, err = h.rebuild(ctx, c, bookmark, temporary)
	if err != nil || target == previous {
		return target, previous, err
	}
	if err := sqlite.CheckFile(ctx, temporary); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	return target, previous, c.Replace(temporary)
}

// rebuild makes the state of a bookmark in a file.
func (h *History) rebuild(ctx context.Context, c *sqlite.Conn, bookmark uint64, path string) (target, previous uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	previous = h.last().bookmark
	if bookmark > previous {
		return 0, 0, ErrUnknown
	}
	n, err := c.Frames()
	if err != nil {
		return 0, 0, err
	}
	if err := h.seal(uint32(n)); err != nil {
		return 0, 0, err
	}
	m, i, err := h.find(bookmark)
	if err != nil || m.bookmark == previous {
		return m.bookmark, previous, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	if err := h.copy(f, uint32(n)); err != nil {
		return 0, 0, err
	}
	size := int64(0)
	for j := len(h.stored) - 1; j >= i; j-- {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		stop := mark{}
		if j == i {
			stop = m
		}
		if size, err = h.undo(h.stored[j], f, stop); err != nil {
			return 0, 0, fmt.Errorf("%w: %w", ErrUnfit, err)
		}
	}
	// The copy is opened without a log.
	if _, err := f.WriteAt([]byte{1, 1}, 18); err != nil {
		return 0, 0, err
	}
	return m.bookmark, previous, f.Truncate(size)
}

// copy writes the present state to a file.
func (h *History) copy(to *os.File, frames uint32) error {
	from, err := os.Open(h.path)
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err := io.Copy(to, from); err != nil || frames == 0 {
		return err
	}
	log, err := readWAL(h.wal)
	if err != nil {
		return err
	}
	size, buffer := int64(0), log.buffer()
	for i := uint32(0); i < frames; {
		n, err := log.read(i, frames, buffer)
		if err != nil {
			return err
		}
		for k := range n {
			head, page, err := log.frame(buffer, i, k)
			if err != nil {
				return err
			}
			size = int64(head.size)
			if _, err := to.WriteAt(page, int64(head.page-1)*int64(log.page)); err != nil {
				return err
			}
		}
		i += n
	}
	return to.Truncate(size * int64(log.page))
}

// undo takes a state that is the one after a segment back to the one before it,
// or to the mark stop if that is not zero, and returns its size in bytes.
func (h *History) undo(x stored, f *os.File, stop mark) (int64, error) {
	s, err := openSegment(h.storedPath(x))
	if err != nil {
		return 0, err
	}
	defer s.close()
	blocks, marks, err := s.index()
	if err != nil {
		return 0, err
	}
	all := stop.bookmark <= marks[0].bookmark
	u := undoing{s: s, f: f, page: make([]byte, s.page), stop: stop.frames, size: s.before, seen: map[uint32]bool{}, frame: s.to}
	if all {
		u.stop = s.from
	}
	if err := s.backward(blocks, u.entry); err != nil {
		return 0, err
	}
	if u.frame != s.from {
		return 0, fmt.Errorf("segment %d: %w", x.seq, errDamaged)
	}
	if u.sum != s.sum && s.sum != noSum {
		return 0, fmt.Errorf("segment %d belongs to another state", x.seq)
	}
	return int64(u.size) * int64(s.page), nil
}

// undoing is one segment being applied, entry by entry from the last.
type undoing struct {
	s     *segment
	f     *os.File
	page  []byte
	frame uint32 // of the log, the one that the next entry belongs to
	stop  uint32 // frames up to here stay
	size  uint32 // in pages, of the state that is wanted
	seen  map[uint32]bool
	sum   uint64
}

func (u *undoing) entry(e *entry) error {
	apply := u.frame > u.stop
	first := !u.seen[e.page]
	if apply || first {
		if err := readPage(u.f, e.page, u.page); err != nil {
			return err
		}
	}
	if first {
		u.seen[e.page] = true
		if e.kind != lost && e.page <= u.s.after {
			u.sum += uint64(pageSum(e.page, u.page))
		}
	}
	if e.kind == commit && u.frame == u.stop {
		u.size = e.size
	}
	if e.kind != lost {
		u.frame--
	}
	if !apply {
		return nil
	}
	if _, err := applyPatch(u.page, e.patch, len(u.page)); err != nil {
		return err
	}
	_, err := u.f.WriteAt(u.page, int64(e.page-1)*int64(len(u.page)))
	return err
}

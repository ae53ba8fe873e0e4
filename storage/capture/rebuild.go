package capture

import (
	"context"
	"os"

	"github.com/cespare/xxhash/v2"
)

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

package capture

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/selvage-edge/selvage/storage/disk"
)

// slack is how much longer than it has to be a state may be kept, so that the
// history is not written anew each time.
const slack = 24 * time.Hour

// Trim drops the oldest states if the history is over its budget, or if they are
// older than they are kept. It writes the history anew.
func (h *History) Trim() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.load(); err != nil || !h.exists {
		return err
	}
	if h.end <= h.opts.Budget && !Time(h.first).Before(h.opts.Now().Add(-h.opts.Keep-slack)) {
		return nil
	}
	if err := h.trim(); err != nil {
		return fmt.Errorf("trim the history of %s: %w", filepath.Base(h.path), err)
	}
	return nil
}

func (h *History) trim() error {
	f, err := os.Open(h.file)
	if err != nil {
		return err
	}
	defer f.Close()
	first, err := h.oldest(f)
	if err != nil || first == nil {
		return err
	}
	temporary := h.file + ".new"
	to, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(temporary)
	defer to.Close()
	base, err := h.fold(f, first, to)
	if err == nil {
		// What follows is as it was.
		if _, err = to.Seek(base.end(), io.SeekStart); err == nil {
			_, err = io.Copy(to, io.NewSectionReader(f, first.end(), h.end-first.end()))
		}
	}
	if errors.Is(err, ErrTooLarge) {
		h.loaded, h.exists = false, false
		return errors.Join(err, os.Remove(h.file))
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = errors.Join(to.Sync(), os.Chtimes(temporary, time.Time{}, info.ModTime())) // see Changed
	}
	if err == nil {
		err = os.Rename(temporary, h.file)
	}
	if err == nil {
		err = disk.SyncFolder(filepath.Dir(h.file))
	}
	h.loaded = false
	return err
}

// oldest is the record that is to become the first one; nil if none is to go.
func (h *History) oldest(f *os.File) (*record, error) {
	limit := uint64(max(h.opts.Now().Add(-h.opts.Keep).UnixMicro(), 0))
	var first, newest *record
	_, err := eachRecord(f, h.end, func(r *record) (bool, error) {
		if first == nil {
			first = r
		}
		newest = r
		return true, nil
	})
	if err != nil || newest == nil {
		return nil, err
	}
	// A base is about as large as the one that is there.
	base, chosen := int64(first.dataLen)+int64(first.listLen), (*record)(nil)
	_, err = eachRecord(f, h.end, func(r *record) (bool, error) {
		tooOld := r.bookmark <= limit
		tooMuch := h.end > h.opts.Budget && base+h.end-r.at > h.opts.Budget*3/4
		if tooOld || tooMuch {
			chosen = r
		}
		return tooOld || tooMuch, nil
	})
	switch over := h.end > h.opts.Budget; {
	case err != nil || chosen == nil:
		return nil, err
	case chosen.at == first.at && over:
		return newest, nil // the estimate was wrong
	case chosen.at == first.at:
		return nil, nil
	}
	return chosen, nil
}

// fold writes the state after a record to a file, as its first one.
func (h *History) fold(f *os.File, after *record, to *os.File) (*record, error) {
	s, err := stateAt(f, h.end, func(r *record) bool { return r.at == after.at })
	if err != nil {
		return nil, err
	}
	r := s.last
	r.at, r.base, r.changed, r.dataLen = int64(len(fileMagic)), true, r.pages, 0
	if err := writeAt(to, []byte(fileMagic), 0); err != nil {
		return nil, err
	}
	// The list is in the order of the pages, the records are not.
	raw, err := os.OpenFile(h.file+".pages", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer os.Remove(raw.Name())
	defer raw.Close()
	l := list{pages: make([]uint32, r.pages), hashes: make([]uint64, r.pages)}
	err = s.each(context.Background(), func(page uint32, b []byte, hash uint64) error {
		l.pages[page-1], l.hashes[page-1] = page, hash
		return writeAt(raw, b, int64(page-1)*int64(r.page))
	})
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, blockPages*int(r.page))
	var packed []byte
	for done := uint32(0); done < r.pages; done += blockPages {
		b := buffer[:int(min(r.pages-done, blockPages))*int(r.page)]
		if _, err := raw.ReadAt(b, int64(done)*int64(r.page)); err != nil {
			return nil, err
		}
		packed = encoder.EncodeAll(b, packed[:0])
		if err := writeAt(to, packed, r.listAt()); err != nil {
			return nil, err
		}
		l.blocks = append(l.blocks, uint32(len(packed)))
		if r.dataLen += uint64(len(packed)); r.listAt() > h.opts.Budget {
			return nil, ErrTooLarge
		}
	}
	b := l.encode()
	r.listLen, r.listCRC = uint32(len(b)), crc32.Checksum(b, castagnoli)
	if err := writeAt(to, b, r.listAt()); err != nil {
		return nil, err
	}
	return &r, writeAt(to, r.encode(), r.at)
}

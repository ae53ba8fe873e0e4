package history

import (
	"errors"
	"fmt"
	"os"
)

// seal writes the frames of the log that are in no segment yet, up to the
// given one, to a segment. Nothing of them may have been moved into the file.
//
// What a page was before a frame is in the frame before it of the same page,
// or, if there is none, in the file: frames that are in segments already may
// be in the file too, but pages that have such a frame are never read from it.
func (h *History) seal(to uint32) error {
	if to <= h.sealed {
		return nil
	}
	if h.last().frames != to {
		return fmt.Errorf("the log has %d frames, the last bookmark is of %d", to, h.last().frames)
	}
	if _, err := h.readSalt(); err != nil { // opens the log
		return err
	}
	log, err := readWAL(h.wal)
	if err != nil {
		return err
	}
	if log.salt != h.salt {
		return errors.New("the log belongs to another state")
	}
	file, err := os.Open(h.path)
	if err != nil {
		return err
	}
	defer file.Close()

	path := h.segmentPath(h.seq)
	out, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	s := sealer{log: log, file: file, out: writer{f: out}, last: map[uint32]uint32{}, page: make([]byte, log.page)}
	size, err := s.seal(h.sealed, to, h.live)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		if err = os.Rename(path+".tmp", path); err == nil {
			err = syncDir(h.dir)
		}
	}
	if err != nil {
		os.Remove(path + ".tmp")
		return err
	}
	h.add(stored{h.seq, size})
	h.sealed, h.live, h.seq = to, []mark{h.last()}, h.seq+1
	if h.size < compactMarks {
		err = h.note(h.last())
	} else {
		err = h.rewriteMarks()
	}
	if err != nil { // the segment itself tells as much
		h.log.Warn("the marks of a database's history could not be written", "error", err)
	}
	h.retain()
	return nil
}

// sealer makes one segment.
type sealer struct {
	log  *wal
	file *os.File
	out  writer
	last map[uint32]uint32 // the last frame of each page, so far
	page []byte
}

func (s *sealer) seal(from, to uint32, marks []mark) (int64, error) {
	f := footer{salt: s.log.salt, from: from, to: to, page: uint32(s.log.page)}
	var err error
	if f.before, err = s.sizeAt(from); err != nil {
		return 0, err
	}
	for i := uint32(1); i <= from; i++ {
		head, err := s.log.head(i)
		if err != nil {
			return 0, err
		}
		s.last[head.page] = i
	}
	size := f.before  // after the last commit
	start := from + 1 // of the transaction
	written := map[uint32]bool{}
	err = s.log.each(from, to, func(i uint32, head frame, page []byte) error {
		var before []byte
		if s.last[head.page] >= start || head.page <= size {
			before = s.page
			if err := s.previous(head.page, before); err != nil {
				return err
			}
		}
		e := entry{kind: within, page: head.page}
		if head.size > 0 {
			e.kind, e.size = commit, head.size
		}
		if err := s.out.add(e, before, page); err != nil {
			return err
		}
		s.last[head.page], written[head.page] = i, true
		if head.size == 0 {
			return nil
		}
		for p := head.size + 1; p <= size; p++ {
			if err := s.previous(p, s.page); err != nil {
				return err
			}
			if err := s.out.add(entry{kind: lost, page: p}, s.page, nil); err != nil {
				return err
			}
		}
		size, start = head.size, i+1
		return nil
	})
	if err != nil {
		return 0, err
	}
	if start != to+1 {
		return 0, errors.New("the log ends within a transaction")
	}
	f.after = size
	for p := range written {
		if p > size {
			continue
		}
		if err := s.previous(p, s.page); err != nil {
			return 0, err
		}
		f.sum += pageSum(p, s.page)
	}
	return s.out.finish(f, marks)
}

// sizeAt is the size of the database in pages after a frame.
func (s *sealer) sizeAt(frame uint32) (uint32, error) {
	if frame == 0 {
		info, err := s.file.Stat()
		if err != nil {
			return 0, err
		}
		return uint32(info.Size() / int64(s.log.page)), nil
	}
	head, err := s.log.head(frame)
	if err == nil && head.size == 0 {
		err = fmt.Errorf("frame %d of the log does not end a transaction", frame)
	}
	return head.size, err
}

// previous reads what a page is after the frames seen so far.
func (s *sealer) previous(number uint32, page []byte) error {
	if i := s.last[number]; i > 0 {
		return s.log.content(i, page)
	}
	return readPage(s.file, number, page)
}

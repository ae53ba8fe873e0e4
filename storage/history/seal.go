package history

import (
	"errors"
	"fmt"
	"os"

	"github.com/selvage-edge/selvage/storage/disk"
)

// ahead is how many frames are worth to be put into the next segment before it
// is due. That happens beside the writers, so that at the checkpoint, for which
// they wait, little is left to do.
const ahead = 250

// prepare begins or continues the next segment in the background.
func (h *History) prepare(to uint32) {
	if h.work == nil {
		var err error
		if h.work, err = h.begun(); err != nil {
			return // the checkpoint tries again and reports it
		}
	}
	w := h.work
	select {
	case <-w.idle:
	default:
		return // busy
	}
	if to-w.done < ahead {
		w.idle <- struct{}{}
		return
	}
	go func() {
		w.advance(to)
		w.idle <- struct{}{}
	}()
}

// discard drops a segment that was begun.
func (h *History) discard() {
	if h.work == nil {
		return
	}
	<-h.work.idle
	h.work.close()
	os.Remove(h.work.out.f.Name())
	h.work = nil
}

// seal writes the frames of the log that are in no segment yet, up to the
// given one, to a segment. Nothing of them may have been moved into the file.
func (h *History) seal(to uint32) error {
	if to <= h.sealed {
		return nil
	}
	size, err := h.write(to)
	if err != nil {
		h.discard()
		return err
	}
	h.add(stored{first: h.seq, seq: h.seq, size: size})
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

func (h *History) write(to uint32) (size int64, err error) {
	if h.last().frames != to {
		return 0, fmt.Errorf("the log has %d frames, the last bookmark is of %d", to, h.last().frames)
	}
	if h.work == nil {
		if h.work, err = h.begun(); err != nil {
			return 0, err
		}
	}
	w := h.work
	<-w.idle
	defer func() { w.idle <- struct{}{} }()
	w.advance(to)
	if size, err = w.finish(h.live); err != nil {
		return 0, err
	}
	if err := w.out.f.Sync(); err != nil {
		return 0, err
	}
	if err := os.Rename(w.out.f.Name(), h.segmentPath(h.seq)); err != nil {
		return 0, err
	}
	h.work = nil
	w.close()
	return size, disk.SyncFolder(h.dir)
}

// begun opens what the next segment is made from and of.
func (h *History) begun() (*sealer, error) {
	log, err := os.Open(h.path + "-wal")
	if err != nil {
		return nil, err
	}
	s := &sealer{log: &wal{f: log}, from: h.sealed, done: h.sealed, start: h.sealed + 1, last: map[uint32]state{}, out: writer{encoder: encoder}, idle: make(chan struct{}, 1)}
	s.idle <- struct{}{}
	if s.log, err = readWAL(log); err == nil && s.log.salt != h.salt {
		err = errors.New("the log belongs to another state")
	}
	if err == nil {
		s.file, err = os.Open(h.path)
	}
	if err == nil {
		err = s.begin()
	}
	if err == nil {
		s.out.f, err = os.OpenFile(h.segmentPath(h.seq)+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	}
	if err != nil {
		log.Close()
		s.close()
		return nil, err
	}
	return s, nil
}

// sealer makes one segment.
//
// What a page was before a frame is in the frame before it of the same page,
// or, if there is none, in the file: frames that are in segments already may
// be in the file too, but pages that have such a frame are never read from it.
type sealer struct {
	log  *wal
	file *os.File
	out  writer
	idle chan struct{} // holds a value while nobody works
	err  error         // of the background

	from   uint32
	done   uint32 // frames that are in out
	before uint32 // size of the database in pages at from
	size   uint32 // after the last commit
	start  uint32 // first frame of the transaction

	last   map[uint32]state // of each page that has a frame
	page   []byte
	buffer []byte
}

// state is a page as it is after the frames so far.
type state struct {
	frame uint32 // its last one
	sum   uint32
	in    bool // it counts for the segment's sum
}

func (s *sealer) close() {
	for _, f := range []*os.File{s.log.f, s.file, s.out.f} {
		if f != nil {
			f.Close()
		}
	}
}

// begin learns about the frames that are in earlier segments.
func (s *sealer) begin() error {
	s.page, s.buffer = make([]byte, s.log.page), s.log.buffer()
	if s.from == 0 {
		info, err := s.file.Stat()
		s.before = uint32(info.Size() / int64(s.log.page))
		s.size = s.before
		return err
	}
	for i := uint32(1); i <= s.from; i++ {
		head, err := s.log.head(i)
		if err != nil {
			return err
		}
		s.last[head.page] = state{frame: i}
		s.before = head.size
	}
	if s.before == 0 {
		return fmt.Errorf("frame %d of the log does not end a transaction", s.from)
	}
	s.size = s.before
	return nil
}

// advance goes on up to a frame that ends a transaction.
func (s *sealer) advance(to uint32) {
	for s.err == nil && s.done < to {
		var n uint32
		if n, s.err = s.log.read(s.done, to, s.buffer); s.err != nil {
			return
		}
		for k := uint32(0); k < n && s.err == nil; k++ {
			s.err = s.add(k)
		}
		s.done += n
	}
}

// add adds frame k of the buffer.
func (s *sealer) add(k uint32) error {
	i := s.done + k + 1
	head, page, err := s.log.frame(s.buffer, s.done, k)
	if err != nil {
		return err
	}
	last := s.last[head.page]
	var before []byte
	if last.frame >= s.start || head.page <= s.size {
		if last.frame > s.done {
			_, before, err = s.log.frame(s.buffer, s.done, last.frame-s.done-1)
		} else {
			before, err = s.page, s.read(head.page, last.frame)
		}
		if err != nil {
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
	s.last[head.page] = state{i, pageSum(head.page, page), true}
	if head.size == 0 {
		return nil
	}
	for p := head.size + 1; p <= s.size; p++ { // the database shrinks
		last := s.last[p]
		if err := s.read(p, last.frame); err != nil {
			return err
		}
		if err := s.out.add(entry{kind: lost, page: p}, s.page, nil); err != nil {
			return err
		}
		last.in = false
		s.last[p] = last
	}
	s.size, s.start = head.size, i+1
	return nil
}

// read reads a page as it is after a frame, or in the file if that is 0.
func (s *sealer) read(number, frame uint32) error {
	if frame > 0 {
		return s.log.content(frame, s.page)
	}
	return readPage(s.file, number, s.page)
}

func (s *sealer) finish(marks []mark) (int64, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.start != s.done+1 {
		return 0, errors.New("the log ends within a transaction")
	}
	f := footer{salt: s.log.salt, from: s.from, to: s.done, page: uint32(s.log.page), before: s.before, after: s.size}
	for p, x := range s.last {
		if x.in && p <= s.size {
			f.sum += uint64(x.sum)
		}
	}
	return s.out.finish(f, marks)
}

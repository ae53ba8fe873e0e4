package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// A segment file holds what is needed to go back through some frames of the
// write-ahead log: entries in the order of the frames, in blocks that are
// compressed one by one so that they can be read from the last to the first;
// then an index of the blocks and of the bookmarks; then the footer.
//
//	block…  index  footer
//
// An entry is a tag, page<<2 | kind, after a commit the size of the database in
// pages, and a patch; numbers are variable-length.

// mark is a commit: its bookmark, and how many frames the log has after it.
type mark struct {
	bookmark uint64
	frames   uint32
}

// kind says what an entry of a segment stands for.
type kind uint8

const (
	within kind = iota // a frame inside of a transaction
	commit             // a frame that ends one
	lost               // a page that was cut off by the commit before
)

// entry is one entry of a segment.
type entry struct {
	kind  kind
	page  uint32
	size  uint32 // of a commit
	patch []byte // and what follows it
}

// footer is what a segment says about itself.
type footer struct {
	salt          uint64 // of the log
	first, last   uint64 // bookmarks of the states before and after
	from, to      uint32 // frames of the log: those after from up to to
	before, after uint32 // size of the database in pages
	// sum adds up the checksums of all pages that were written, as they are
	// after the segment; it shows whether a state is the one to go back from.
	sum uint64

	indexAt  int64
	indexLen uint32
	page     uint32 // size of a page in bytes
	indexCRC uint32
}

const (
	footerLen = 80
	magic     = "SVHIST\x00\x01" // the last byte is the version
	// blockLen is how many bytes of entries make a block.
	blockLen = 32 << 10
	// maxRaw bounds what a block or an index may claim to be.
	maxRaw = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Segments are compressed while others write, so it must be quick; folded ones
// take what time they need.
var (
	encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithNoEntropyCompression(true),
		zstd.WithWindowSize(blockLen), zstd.WithEncoderConcurrency(2))
	denser, _  = zstd.NewWriter(nil, zstd.WithWindowSize(blockLen), zstd.WithEncoderConcurrency(1))
	decoder, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxRaw), zstd.WithDecoderConcurrency(2))
)

// pageSum is the checksum of a page; pages that changed places have others.
func pageSum(number uint32, page []byte) uint32 { return crc32.Update(number, castagnoli, page) }

func (f *footer) encode() []byte {
	b := make([]byte, 0, footerLen)
	le := binary.LittleEndian
	b = append(b, magic...)
	b = le.AppendUint64(b, f.salt)
	b = le.AppendUint64(b, f.first)
	b = le.AppendUint64(b, f.last)
	for _, v := range []uint32{f.from, f.to, f.before, f.after} {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint64(b, f.sum)
	b = le.AppendUint64(b, uint64(f.indexAt))
	b = le.AppendUint32(b, f.indexLen)
	b = le.AppendUint32(b, f.page)
	b = le.AppendUint32(b, f.indexCRC)
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

var errDamaged = errors.New("the segment is damaged")

func decodeFooter(b []byte) (f footer, err error) {
	le := binary.LittleEndian
	if len(b) != footerLen || string(b[:8]) != magic || le.Uint32(b[76:]) != crc32.Checksum(b[:76], castagnoli) {
		return f, errDamaged
	}
	f = footer{
		salt: le.Uint64(b[8:]), first: le.Uint64(b[16:]), last: le.Uint64(b[24:]),
		from: le.Uint32(b[32:]), to: le.Uint32(b[36:]), before: le.Uint32(b[40:]), after: le.Uint32(b[44:]),
		sum: le.Uint64(b[48:]), indexAt: int64(le.Uint64(b[56:])), indexLen: le.Uint32(b[64:]),
		page: le.Uint32(b[68:]), indexCRC: le.Uint32(b[72:]),
	}
	if f.from > f.to || f.first > f.last || !validPageSize(int(f.page)) || f.indexAt < 0 {
		return f, errDamaged
	}
	return f, nil
}

// block is where a block lies and how many frames it holds.
type block struct {
	at     int64
	len    uint32
	frames uint32
}

// writer writes a segment file.
type writer struct {
	f       *os.File
	encoder *zstd.Encoder
	at      int64
	raw     []byte // entries of the block being made
	frames  uint32 // in it
	blocks  []block
	packed  []byte
}

// addOverlay appends an entry with what a page was, as far as that is known.
func (w *writer) addOverlay(e entry, o *overlay) error {
	w.tag(e)
	if o == nil || o.data == nil {
		w.raw = append(w.raw, 0, 0)
	} else {
		w.raw = appendOverlay(w.raw, o.data, o.known)
	}
	return w.added(e)
}

func (w *writer) tag(e entry) {
	w.raw = binary.AppendUvarint(w.raw, uint64(e.page)<<2|uint64(e.kind))
	if e.kind == commit {
		w.raw = binary.AppendUvarint(w.raw, uint64(e.size))
	}
}

func (w *writer) added(e entry) error {
	if e.kind != lost {
		w.frames++
	}
	if len(w.raw) >= blockLen {
		return w.flush()
	}
	return nil
}

// add appends an entry that goes from page after to page before. Without
// before there is nothing to go back to; without after, before is kept whole.
func (w *writer) add(e entry, before, after []byte) error {
	w.tag(e)
	switch {
	case before == nil:
		w.raw = append(w.raw, 0, 0)
	case after == nil:
		w.raw = appendWhole(w.raw, before)
	default:
		w.raw = appendPatch(w.raw, before, after)
	}
	return w.added(e)
}

func (w *writer) flush() error {
	if len(w.raw) == 0 {
		return nil
	}
	w.packed = w.encoder.EncodeAll(w.raw, w.packed[:0])
	if _, err := w.f.Write(w.packed); err != nil {
		return err
	}
	w.blocks = append(w.blocks, block{w.at, uint32(len(w.packed)), w.frames})
	w.at += int64(len(w.packed))
	w.raw, w.frames = w.raw[:0], 0
	return nil
}

// finish writes the index and the footer. The first and the last mark are
// those of the footer.
func (w *writer) finish(f footer, marks []mark) (size int64, err error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	b := binary.AppendUvarint(nil, uint64(len(w.blocks)))
	for _, x := range w.blocks {
		b = binary.AppendUvarint(b, uint64(x.len))
		b = binary.AppendUvarint(b, uint64(x.frames))
	}
	b = binary.AppendUvarint(b, uint64(len(marks)))
	last := mark{}
	for _, m := range marks {
		b = binary.AppendUvarint(b, m.bookmark-last.bookmark)
		b = binary.AppendUvarint(b, uint64(m.frames-last.frames))
		last = m
	}
	index := encoder.EncodeAll(b, nil)
	f.first, f.last = marks[0].bookmark, last.bookmark
	f.indexAt, f.indexLen, f.indexCRC = w.at, uint32(len(index)), crc32.Checksum(index, castagnoli)
	if _, err := w.f.Write(append(index, f.encode()...)); err != nil {
		return 0, err
	}
	return w.at + int64(len(index)) + footerLen, nil
}

// segment is an open segment file.
type segment struct {
	footer
	f *os.File
}

func openSegment(path string) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &segment{f: f}
	if err := s.readFooter(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *segment) readFooter() error {
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	at := info.Size() - footerLen
	if at < 0 {
		return errDamaged
	}
	b := make([]byte, footerLen)
	if _, err := s.f.ReadAt(b, at); err != nil {
		return err
	}
	if s.footer, err = decodeFooter(b); err != nil {
		return err
	}
	if s.indexAt+int64(s.indexLen) != at {
		return errDamaged
	}
	return nil
}

func (s *segment) close() { s.f.Close() }

// index reads where the blocks are, and the marks.
func (s *segment) index() ([]block, []mark, error) {
	packed := make([]byte, s.indexLen)
	if _, err := s.f.ReadAt(packed, s.indexAt); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.f.Name(), err)
	}
	if crc32.Checksum(packed, castagnoli) != s.indexCRC {
		return nil, nil, fmt.Errorf("%s: %w", s.f.Name(), errDamaged)
	}
	blocks, marks, err := decodeIndex(packed)
	if err == nil && !s.fits(blocks, marks) {
		err = errDamaged
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.f.Name(), err)
	}
	return blocks, marks, nil
}

// fits reports whether an index and the footer say the same.
func (s *segment) fits(blocks []block, marks []mark) bool {
	end, last := int64(0), mark{}
	for _, b := range blocks {
		end += int64(b.len)
	}
	for i, m := range marks {
		if i > 0 && (m.bookmark <= last.bookmark || m.frames < last.frames) || m.frames < s.from {
			return false
		}
		last = m
	}
	return end == s.indexAt && len(marks) > 0 && marks[0].bookmark == s.first && last == mark{s.last, s.to}
}

func decodeIndex(packed []byte) (blocks []block, marks []mark, err error) {
	b, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	ok := true
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			ok = false
			return 0
		}
		b = b[n:]
		return v
	}
	at := int64(0)
	for n := number(); ok && n > 0; n-- {
		x := block{at: at, len: uint32(number()), frames: uint32(number())}
		at += int64(x.len)
		blocks = append(blocks, x)
	}
	last := mark{}
	for n := number(); ok && n > 0; n-- {
		last = mark{last.bookmark + number(), last.frames + uint32(number())}
		marks = append(marks, last)
	}
	if !ok || len(b) > 0 {
		return nil, nil, errDamaged
	}
	return blocks, marks, nil
}

// backward calls f with the entries of blocks, the last first.
func (s *segment) backward(blocks []block, f func(*entry) error) error {
	for _, b := range slices.Backward(blocks) {
		entries, err := s.entries(b)
		if err != nil {
			return err
		}
		for i := len(entries) - 1; i >= 0; i-- {
			if err := f(&entries[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// entries reads the entries of a block.
func (s *segment) entries(b block) ([]entry, error) {
	packed := make([]byte, b.len)
	if _, err := s.f.ReadAt(packed, b.at); err != nil {
		return nil, fmt.Errorf("%s: %w", s.f.Name(), err)
	}
	list, err := decodeBlock(packed, int(s.page))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.f.Name(), err)
	}
	return list, nil
}

func decodeBlock(packed []byte, page int) ([]entry, error) {
	raw, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	var list []entry
	for len(raw) > 0 {
		tag, n := binary.Uvarint(raw)
		if n <= 0 || tag>>2 == 0 || tag>>2 > 1<<32-1 {
			return nil, errDamaged
		}
		raw = raw[n:]
		e := entry{kind: kind(tag & 3), page: uint32(tag >> 2)}
		if e.kind == commit {
			size, n := binary.Uvarint(raw)
			if n <= 0 || size == 0 || size > 1<<32-1 {
				return nil, errDamaged
			}
			e.size, raw = uint32(size), raw[n:]
		}
		e.patch = raw
		if raw, err = applyPatch(nil, raw, page); err != nil {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
		list = append(list, e)
	}
	return list, nil
}

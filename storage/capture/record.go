package capture

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
)

// A history is one file: its magic, then records. Each record is a captured
// state, as what is different from the one before it; the first has all pages.
//
//	head  data  list
//
// The head has a fixed length and is written last, so what a kill leaves of a
// record is none. The list has the numbers and hashes of the pages that are
// different, and the length of each block of the data; a block is up to
// blockPages pages in the list's order, compressed.

const (
	fileMagic   = "SVSTATE\x01" // the last byte is the version
	recordMagic = 0x52545353
	headLen     = 56
	entryLen    = 12 // of the list
	blockPages  = 32
	// maxBlock bounds what a block may claim to be.
	maxBlock = blockPages * 65536
)

// record is the head of one.
type record struct {
	bookmark uint64
	// alias is another bookmark of the state; 0 for none.
	alias uint64
	page  uint32 // size of a page in bytes; 0 if there are none
	pages uint32 // of the database
	// changed is how many pages the record has; base: these are all.
	changed uint32
	base    bool
	dataLen uint64
	listLen uint32
	listCRC uint32

	at int64 // of the head, in the file
}

func (r *record) dataAt() int64 { return r.at + headLen }
func (r *record) listAt() int64 { return r.dataAt() + int64(r.dataLen) }
func (r *record) end() int64    { return r.listAt() + int64(r.listLen) }

// blocks is how many blocks the data has.
func (r *record) blocks() int { return int((uint64(r.changed) + blockPages - 1) / blockPages) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r *record) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, headLen)
	b = le.AppendUint32(b, recordMagic)
	b = le.AppendUint32(b, r.page)
	b = le.AppendUint64(b, r.bookmark)
	b = le.AppendUint64(b, r.alias)
	b = le.AppendUint32(b, r.pages)
	changed := uint64(r.changed)
	if r.base {
		changed |= 1 << 32
	}
	b = le.AppendUint64(b, changed)
	b = le.AppendUint64(b, r.dataLen)
	b = le.AppendUint32(b, r.listLen)
	b = le.AppendUint32(b, r.listCRC)
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeHead reads the head of a record that begins at at; size is that of the file.
func decodeHead(b []byte, at, size int64) (r record, err error) {
	le := binary.LittleEndian
	if len(b) < headLen || le.Uint32(b) != recordMagic || le.Uint32(b[52:]) != crc32.Checksum(b[:52], castagnoli) {
		return r, ErrDamaged
	}
	changed := le.Uint64(b[28:])
	r = record{
		page: le.Uint32(b[4:]), bookmark: le.Uint64(b[8:]), alias: le.Uint64(b[16:]), pages: le.Uint32(b[24:]),
		changed: uint32(changed), base: changed>>32 == 1, dataLen: le.Uint64(b[36:]),
		listLen: le.Uint32(b[44:]), listCRC: le.Uint32(b[48:]), at: at,
	}
	switch {
	case changed>>33 != 0, r.page != 0 && !validPage(int(r.page)), r.page == 0 && r.pages > 0, r.changed > r.pages,
		r.base && r.changed != r.pages, r.dataLen > uint64(math.MaxInt64/2),
		uint64(r.listLen) != uint64(r.changed)*entryLen+uint64(r.blocks())*4, r.end() > size:
		return r, ErrDamaged
	}
	return r, nil
}

// list is the decoded list of a record.
type list struct {
	pages  []uint32
	hashes []uint64
	blocks []uint32 // lengths
}

func (l *list) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, len(l.pages)*entryLen+len(l.blocks)*4)
	for i, p := range l.pages {
		b = le.AppendUint64(le.AppendUint32(b, p), l.hashes[i])
	}
	for _, n := range l.blocks {
		b = le.AppendUint32(b, n)
	}
	return b
}

// decodeList reads the list of r.
func decodeList(b []byte, r *record) (l list, err error) {
	le := binary.LittleEndian
	if len(b) != int(r.listLen) || crc32.Checksum(b, castagnoli) != r.listCRC {
		return l, ErrDamaged
	}
	n := int(r.changed)
	l = list{pages: make([]uint32, n), hashes: make([]uint64, n), blocks: make([]uint32, r.blocks())}
	last := uint32(0)
	for i := range n {
		p := le.Uint32(b[i*entryLen:])
		if p <= last || p > r.pages {
			return l, ErrDamaged
		}
		last = p
		l.pages[i], l.hashes[i] = p, le.Uint64(b[i*entryLen+4:])
	}
	sum := uint64(0)
	for i := range l.blocks {
		l.blocks[i] = le.Uint32(b[n*entryLen+i*4:])
		sum += uint64(l.blocks[i])
	}
	if sum != r.dataLen {
		return l, ErrDamaged
	}
	return l, nil
}

var (
	encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(1<<20))
	decoder, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxBlock), zstd.WithDecoderConcurrency(2))
)

// decodeBlock gives the pages of a block that holds n.
func decodeBlock(packed []byte, n int, page uint32) ([]byte, error) {
	raw, err := decoder.DecodeAll(packed, nil)
	if err != nil || len(raw) != n*int(page) {
		return nil, ErrDamaged
	}
	return raw, nil
}

// eachRecord calls f with the records of a file of that size in their order, until
// one is not whole or f returns false; end is where the last whole one ends.
func eachRecord(f io.ReaderAt, size int64, visit func(*record) (bool, error)) (end int64, err error) {
	var b [headLen]byte
	if _, err := f.ReadAt(b[:len(fileMagic)], 0); err != nil && err != io.EOF {
		return 0, err
	}
	if string(b[:len(fileMagic)]) != fileMagic {
		return 0, nil
	}
	end = int64(len(fileMagic))
	last := uint64(0)
	for {
		if _, err := f.ReadAt(b[:], end); err == io.EOF {
			return end, nil
		} else if err != nil {
			return end, err
		}
		r, err := decodeHead(b[:], end, size)
		if err != nil || r.bookmark <= last || last == 0 && !r.base {
			return end, nil
		}
		if more, err := visit(&r); err != nil || !more {
			return end, err
		}
		last, end = r.bookmark, r.end()
	}
}

// readList reads the list of a record.
func readList(f io.ReaderAt, r *record) (list, error) {
	b := make([]byte, r.listLen)
	if _, err := f.ReadAt(b, r.listAt()); err != nil && len(b) > 0 {
		return list{}, err
	}
	return decodeList(b, r)
}

package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// wal reads the write-ahead log of a database. What it reads has been checked
// by SQLite, which says how many frames count; only what would lead to wrong
// conclusions is looked at again.
//
// Source: https://sqlite.org/fileformat2.html#the_write_ahead_log
type wal struct {
	f    *os.File
	page int
	salt uint64 // changes whenever the log starts again
}

const (
	walHeader   = 32
	frameHeader = 24
)

// frame is the head of one page in the log.
type frame struct {
	page uint32 // counted from 1
	size uint32 // of the database in pages after a commit; 0 if this does not end one
}

func readWAL(f *os.File) (*wal, error) {
	b := make([]byte, walHeader)
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("read write-ahead log: %w", err)
	}
	w := &wal{f: f, page: int(binary.BigEndian.Uint32(b[8:])), salt: binary.BigEndian.Uint64(b[16:])}
	if binary.BigEndian.Uint32(b)&^1 != 0x377f0682 || !validPageSize(w.page) {
		return nil, errors.New("read write-ahead log: not a log of SQLite")
	}
	return w, nil
}

func validPageSize(n int) bool { return n >= 512 && n <= 65536 && n&(n-1) == 0 }

// salt reads only what changes when the log starts again.
func readSalt(f *os.File) (uint64, error) {
	var b [8]byte
	_, err := f.ReadAt(b[:], 16)
	return binary.BigEndian.Uint64(b[:]), err
}

func (w *wal) offset(i uint32) int64 {
	return walHeader + int64(i-1)*int64(frameHeader+w.page)
}

func (w *wal) parse(b []byte, i uint32) (frame, error) {
	f := frame{page: binary.BigEndian.Uint32(b), size: binary.BigEndian.Uint32(b[4:])}
	if salt := binary.BigEndian.Uint64(b[8:]); salt != w.salt || f.page == 0 {
		return f, fmt.Errorf("read write-ahead log: frame %d belongs to another log", i)
	}
	return f, nil
}

// head reads the head of frame i, counted from 1.
func (w *wal) head(i uint32) (frame, error) {
	var b [frameHeader]byte
	if _, err := w.f.ReadAt(b[:], w.offset(i)); err != nil {
		return frame{}, fmt.Errorf("read write-ahead log: %w", err)
	}
	return w.parse(b[:], i)
}

// content reads the page in frame i.
func (w *wal) content(i uint32, page []byte) error {
	if _, err := w.f.ReadAt(page, w.offset(i)+frameHeader); err != nil {
		return fmt.Errorf("read write-ahead log: %w", err)
	}
	return nil
}

// window is how many frames are read at once.
const window = 256

// buffer gives room for a window.
func (w *wal) buffer() []byte { return make([]byte, window*(frameHeader+w.page)) }

// read reads the frames after i, up to to or as many as buffer has room for.
func (w *wal) read(i, to uint32, buffer []byte) (n uint32, err error) {
	n = min(window, to-i)
	if _, err := w.f.ReadAt(buffer[:int(n)*(frameHeader+w.page)], w.offset(i+1)); err != nil {
		return 0, fmt.Errorf("read write-ahead log: %w", err)
	}
	return n, nil
}

// frame gives frame k, counted from 0, of a buffer whose first frame is the
// one after i.
func (w *wal) frame(buffer []byte, i, k uint32) (frame, []byte, error) {
	step := frameHeader + w.page
	part := buffer[int(k)*step:][:step]
	head, err := w.parse(part, i+k+1)
	return head, part[frameHeader:], err
}

// readPage reads a page of a database file; what is beyond the end is zero.
func readPage(f *os.File, number uint32, page []byte) error {
	n, err := f.ReadAt(page, int64(number-1)*int64(len(page)))
	if err == io.EOF {
		clear(page[n:])
		err = nil
	}
	return err
}

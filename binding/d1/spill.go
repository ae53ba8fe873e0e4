package d1

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// spillBytes is how much of a call's results is kept in memory; the rest goes
// to a file. They cannot be sent as they arise: if the call fails after half of
// them, the answer is an error and nothing else.
const spillBytes = 1 << 20

// spilled begins the names of these files, which are removed as soon as they are
// open.
const spilled = "result-"

// spill holds bytes that are written once and then read once: the first ones in
// a file, if there are many, the last ones in memory. The zero value with a
// folder is empty. Close it.
type spill struct {
	dir   string
	buf   []byte
	file  *os.File
	moved int64 // bytes in the file
}

// size is the number of bytes.
func (s *spill) size() int64 { return s.moved + int64(len(s.buf)) }

// settle moves the bytes in memory to the file if there are too many.
func (s *spill) settle() error {
	if len(s.buf) < spillBytes {
		return nil
	}
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, spilled)
		if err != nil {
			return fmt.Errorf("keep results: %w", err)
		}
		os.Remove(f.Name()) // its space is free when it is closed
		s.file = f
	}
	n, err := s.file.WriteAt(s.buf, s.moved)
	s.moved += int64(n)
	if err != nil {
		return fmt.Errorf("keep results: %w", err)
	}
	s.buf = s.buf[:0]
	return nil
}

// reset drops everything.
func (s *spill) reset() { s.buf, s.moved = s.buf[:0], 0 }

// WriteTo implements io.WriterTo.
func (s *spill) WriteTo(w io.Writer) (int64, error) {
	var n int64
	if s.moved > 0 {
		var err error
		if n, err = io.Copy(w, io.NewSectionReader(s.file, 0, s.moved)); err != nil {
			return n, err
		}
	}
	m, err := w.Write(s.buf)
	return n + int64(m), err
}

// close gives the file back.
func (s *spill) close() {
	if s.file != nil {
		s.file.Close()
	}
}

// removeSpills deletes the files of a process that was killed while it made one.
func removeSpills(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, spilled+"*"))
	for _, path := range left {
		os.Remove(path)
	}
}

package capture

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// A view is one committed state of a database in WAL mode, read without locks:
// whoever writes the database never notices. It is what SQLite would recover
// from the two files as they were when the view was opened. Pages that have a
// frame in the log are read from there, others from the file.
//
// What was read may be wrong if a checkpoint has moved later frames into the
// file meanwhile, or if the log has started again. The wal-index tells: valid
// says whether that can have happened. The index is written before the files
// are, so the answer errs on the safe side only.
//
// Source: https://sqlite.org/fileformat2.html#the_write_ahead_log,
// https://sqlite.org/walformat.html
type view struct {
	path    string
	db, wal *os.File // nil where there is none
	dbInfo  fs.FileInfo
	header  [walHeader]byte // of the log
	page    int             // bytes
	pages   uint32          // of the database
	frames  map[uint32]uint32
	last    uint32 // the last frame that counts
	opened  time.Time
	changed time.Time // when the state came to be, or a little earlier
}

const (
	walHeader   = 32
	frameHeader = 24

	// Of the wal-index.
	indexInit    = 12  // one byte
	indexSalt    = 32  // as in the log
	indexAttempt = 128 // up to which frame a checkpoint may have come
	indexLen     = 136
)

// openFile opens a file that a process may have put there that is not to be
// trusted: it must be a file in its own right. Nil if there is none.
func openFile(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNoDatabase
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// look opens a view of the database at path, which is ErrTooLarge beyond a size in
// bytes. Close it. A database that does not exist has no pages.
func look(path string, largest int64) (_ *view, err error) {
	v := &view{path: path, frames: map[uint32]uint32{}, opened: time.Now()}
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	if v.db, v.dbInfo, err = openFile(path); err != nil || v.db == nil {
		return v, err
	}
	v.changed = v.dbInfo.ModTime()
	if v.dbInfo.Size() > largest {
		return v, ErrTooLarge
	}
	if v.dbInfo.Size() > 0 {
		if err := v.readHeader(); err != nil {
			return v, err
		}
	}
	var info fs.FileInfo
	if v.wal, info, err = openFile(path + "-wal"); err != nil || v.wal == nil {
		return v, err
	}
	if info.Size() > largest {
		return v, ErrTooLarge
	}
	inFile := v.pages
	if err := v.readLog(); err != nil {
		return v, err
	}
	if uint64(v.pages) > uint64(inFile)+uint64(len(v.frames)) {
		return v, ErrNoDatabase // the rest is nowhere
	}
	if v.last > 0 && info.ModTime().After(v.changed) {
		v.changed = info.ModTime()
	}
	return v, nil
}

func (v *view) close() {
	for _, f := range []*os.File{v.db, v.wal} {
		if f != nil {
			f.Close()
		}
	}
}

// readHeader reads the sizes that the file tells.
func (v *view) readHeader() error {
	var b [100]byte
	if _, err := v.db.ReadAt(b[:], 0); err != nil {
		if err == io.EOF {
			err = ErrNoDatabase
		}
		return err
	}
	v.page = int(binary.BigEndian.Uint16(b[16:]))
	if v.page == 1 {
		v.page = 65536
	}
	if string(b[:16]) != "SQLite format 3\x00" || !validPage(v.page) {
		return ErrNoDatabase
	}
	v.pages = uint32(v.dbInfo.Size() / int64(v.page))
	return nil
}

func validPage(n int) bool { return n >= 512 && n <= 65536 && n&(n-1) == 0 }

// readLog finds the frames that count: those with the right checksums up to the
// last that ends a transaction.
func (v *view) readLog() error {
	if _, err := v.wal.ReadAt(v.header[:], 0); err != nil {
		v.header = [walHeader]byte{}
		if err == io.EOF {
			return nil // no frame can be in it
		}
		return err
	}
	magic, page := binary.BigEndian.Uint32(v.header[:]), int(binary.BigEndian.Uint32(v.header[8:]))
	sum := checksum{order: binary.LittleEndian}
	if magic&1 != 0 {
		sum.order = binary.BigEndian
	}
	sum.add(v.header[:24])
	if magic&^1 != 0x377f0682 || !validPage(page) || !sum.is(v.header[24:]) {
		return nil // so SQLite takes it for empty
	}
	if v.page != 0 && v.page != page {
		return ErrNoDatabase
	}
	open := map[uint32]uint32{} // of the transaction that has not ended
	step := frameHeader + page
	buffer := make([]byte, window*step)
	for frame := uint32(1); ; {
		n, err := v.wal.ReadAt(buffer, walHeader+int64(frame-1)*int64(step))
		if err != nil && err != io.EOF {
			return err
		}
		whole := n / step
		for i := range whole {
			b := buffer[i*step:][:step]
			sum.add(b[:8])
			sum.add(b[frameHeader:])
			number, size := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
			if string(b[8:16]) != string(v.header[16:24]) || number == 0 || !sum.is(b[16:]) {
				return nil
			}
			open[number] = frame
			if size > 0 {
				for p, f := range open {
					v.frames[p] = f
				}
				clear(open)
				v.page, v.pages, v.last = page, size, frame
			}
			frame++
		}
		if whole < window {
			return nil
		}
	}
}

// window is how many frames are read at once.
const window = 64

// checksum is that of the log.
type checksum struct {
	order binary.ByteOrder
	a, b  uint32
}

func (s *checksum) add(data []byte) {
	if s.order == binary.LittleEndian {
		for ; len(data) >= 8; data = data[8:] {
			s.a += binary.LittleEndian.Uint32(data) + s.b
			s.b += binary.LittleEndian.Uint32(data[4:]) + s.a
		}
		return
	}
	for ; len(data) >= 8; data = data[8:] {
		s.a += binary.BigEndian.Uint32(data) + s.b
		s.b += binary.BigEndian.Uint32(data[4:]) + s.a
	}
}

func (s *checksum) is(b []byte) bool {
	return s.a == binary.BigEndian.Uint32(b) && s.b == binary.BigEndian.Uint32(b[4:])
}

// read reads pages from number on, counted from 1, into b, whose length is a
// multiple of a page's.
func (v *view) read(number uint32, b []byte) error {
	inFile := 0 // bytes at the start of b that are in the file
	for inFile < len(b) && v.frames[number+uint32(inFile/v.page)] == 0 {
		inFile += v.page
	}
	if inFile > 0 {
		n, err := v.db.ReadAt(b[:inFile], int64(number-1)*int64(v.page))
		if err == io.EOF {
			clear(b[n:inFile])
			err = nil
		}
		if err != nil {
			return err
		}
		number, b = number+uint32(inFile/v.page), b[inFile:]
	}
	if len(b) == 0 {
		return nil
	}
	frame := v.frames[number]
	if _, err := v.wal.ReadAt(b[:v.page], walHeader+int64(frame-1)*int64(frameHeader+v.page)+frameHeader); err != nil {
		return err
	}
	return v.read(number+1, b[v.page:])
}

// coarse is the longest time between two ticks by which files are marked.
const coarse = 20 * time.Millisecond

// valid reports whether all that has been read belongs to one state.
func (v *view) valid() bool {
	db, err := os.Lstat(v.path)
	if v.db == nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	if err != nil || !os.SameFile(db, v.dbInfo) {
		return false // deleteAll() makes a new file
	}
	if v.last == 0 {
		// Nothing is in the log. Who writes writes there first, and what then
		// came into the file has changed its time.
		frames, err := os.Lstat(v.path + "-wal")
		if err == nil && frames.Size() > walHeader && !v.sameLog() {
			return false
		}
		return db.ModTime().Equal(v.dbInfo.ModTime()) && db.Size() == v.dbInfo.Size() && v.opened.Sub(db.ModTime()) > coarse
	}
	index, _, err := openFile(v.path + "-shm")
	if err != nil {
		return false
	}
	if index == nil {
		return v.sameLog() // nobody has it open, or has had
	}
	defer index.Close()
	var b [indexLen]byte
	if _, err := index.ReadAt(b[indexAttempt:], indexAttempt); err != nil {
		return false
	}
	if attempt := binary.NativeEndian.Uint32(b[indexAttempt:]); attempt > v.last {
		return false
	}
	if _, err := index.ReadAt(b[:indexAttempt], 0); err != nil {
		return false
	}
	return b[indexInit] != 0 && string(b[indexSalt:indexSalt+8]) == string(v.header[16:24]) && v.sameLog()
}

// sameLog: the log at the path has not started again.
func (v *view) sameLog() bool {
	f, info, err := openFile(v.path + "-wal")
	if err != nil || f == nil {
		return false
	}
	defer f.Close()
	var b [walHeader]byte
	if v.wal == nil {
		return false
	}
	own, err := v.wal.Stat()
	if err != nil || !os.SameFile(own, info) {
		return false
	}
	_, err = f.ReadAt(b[:], 0)
	return err == nil && b == v.header
}

package history

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
)

// The file "marks" holds one record for every commit that is not in a segment
// yet. The first record of a segment's number tells the state that the segment
// starts from.

// record is one entry of the marks file.
type record struct {
	mark
	salt uint64 // of the log
	seq  uint32 // number of the segment that the mark will be in
}

const (
	recordLen = 28
	// compactMarks is the size in bytes from which on the file is written anew
	// when a segment has been written.
	compactMarks = 64 << 10
)

func (r *record) append(b []byte) []byte {
	le := binary.LittleEndian
	at := len(b)
	b = le.AppendUint64(b, r.bookmark)
	b = le.AppendUint64(b, r.salt)
	b = le.AppendUint32(b, r.frames)
	b = le.AppendUint32(b, r.seq)
	return le.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// decodeMarks reads records up to the first that is not whole, and returns
// those of the highest number, and the length in bytes of what is whole.
func decodeMarks(b []byte) (list []record, whole int) {
	le := binary.LittleEndian
	for len(b) >= recordLen {
		if le.Uint32(b[24:]) != crc32.Checksum(b[:24], castagnoli) {
			break
		}
		r := record{mark{le.Uint64(b), le.Uint32(b[16:])}, le.Uint64(b[8:]), le.Uint32(b[20:])}
		if len(list) > 0 {
			last := list[len(list)-1]
			if r.seq < last.seq || r.bookmark < last.bookmark {
				break
			}
			if r.seq > last.seq {
				list = list[:0]
			}
		}
		list = append(list, r)
		b, whole = b[recordLen:], whole+recordLen
	}
	return list, whole
}

// openMarks reads the marks file, creating it if it is missing, and leaves it
// ready to append to.
func openMarks(path string) (f *os.File, list []record, size int64, err error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, 0, err
	}
	list, whole := decodeMarks(data)
	f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, 0, err
	}
	if whole < len(data) {
		if err := f.Truncate(int64(whole)); err != nil {
			f.Close()
			return nil, nil, 0, err
		}
	}
	return f, list, int64(whole), nil
}

// writeMarks replaces the marks file.
func writeMarks(path string, list []record) (f *os.File, err error) {
	temporary := path + ".tmp"
	if f, err = os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	var b []byte
	for i := range list {
		b = list[i].append(b)
	}
	if _, err = f.Write(b); err == nil {
		if err = f.Sync(); err == nil {
			err = os.Rename(temporary, path)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

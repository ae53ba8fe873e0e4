package capture

import (
	"context"
	"hash/crc32"
	"os"

	"github.com/cespare/xxhash/v2"
)

// write writes the data of the next record, and returns its head, to which a
// bookmark is to be given, and the hashes of all pages.
func (h *History) write(ctx context.Context, f *os.File, v *view) (record, []uint64, error) {
	r := record{page: uint32(v.page), pages: v.pages, at: h.end}
	r.base = !h.exists || r.page != h.last.page
	before := h.hashes
	if r.base {
		before = nil
	}
	hashes := make([]uint64, v.pages)
	var l list
	var raw, packed []byte
	at := r.dataAt()
	flush := func() error {
		if len(raw) == 0 {
			return nil
		}
		packed = encoder.EncodeAll(raw, packed[:0])
		l.blocks = append(l.blocks, uint32(len(packed)))
		err := writeAt(f, packed, at)
		at, raw = at+int64(len(packed)), raw[:0]
		if r.base && at-r.at > h.opts.Budget {
			return ErrTooLarge
		}
		return err
	}
	buffer := make([]byte, min(int(v.pages), readPages)*v.page)
	for done := uint32(0); done < v.pages; {
		if err := ctx.Err(); err != nil {
			return r, nil, err
		}
		n := min(v.pages-done, uint32(readPages))
		if err := v.read(done+1, buffer[:int(n)*v.page]); err != nil {
			return r, nil, err
		}
		for i := range n {
			page := buffer[int(i)*v.page:][:v.page]
			number := done + i + 1
			sum := xxhash.Sum64(page)
			hashes[number-1] = sum
			if int(number) <= len(before) && before[number-1] == sum {
				continue
			}
			l.pages, l.hashes = append(l.pages, number), append(l.hashes, sum)
			raw = append(raw, page...)
			if len(l.pages)%blockPages == 0 {
				if err := flush(); err != nil {
					return r, nil, err
				}
			}
		}
		done += n
	}
	if err := flush(); err != nil {
		return r, nil, err
	}
	r.changed, r.dataLen = uint32(len(l.pages)), uint64(at-r.dataAt())
	b := l.encode()
	r.listLen, r.listCRC = uint32(len(b)), crc32.Checksum(b, castagnoli)
	return r, hashes, writeAt(f, b, r.listAt())
}

// readPages is how many pages are read at once.
const readPages = 64

package r2

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

func setPartNote(batch keyed.Batch, id contentID, p PartInfo) error {
	data, err := json.Marshal(partNote{p.Uploaded.UnixMilli(), p.Checksums})
	if err != nil {
		return err
	}
	batch.Set(partNoteKey(id, uint16(p.Number)), data)
	return nil
}

func deletePartNotes(batch keyed.Batch, id contentID) {
	prefix := row(rowPartNote, string(id[:]))
	batch.DeleteRange(prefix, keyed.After(prefix))
}

// note completes what is known of a part.
func (s *Store) note(id contentID, p *PartInfo) error {
	v, found, err := s.db.Get(partNoteKey(id, uint16(p.Number)))
	if err != nil || !found {
		return err
	}
	defer v.Release()
	var n partNote
	if err := json.Unmarshal(v.Bytes, &n); err != nil {
		return fmt.Errorf("note of part %d: %w: %w", p.Number, errCorrupt, err)
	}
	p.Uploaded, p.Checksums = time.UnixMilli(n.Uploaded).UTC(), n.Checksums
	return nil
}

// sumParts makes the checksum of an object from those of its parts. An upload
// that has parts from before its store knew of it has none.
func (s *Store) sumParts(o *Object, named []Part, name string) error {
	for _, a := range algorithms {
		if a.name != name {
			continue
		}
		var whole join
		sums := a.new()
		for _, p := range named {
			info := PartInfo{Part: p}
			if err := s.note(o.content, &info); err != nil {
				return err
			}
			sum := *a.field(&info.Checksums)
			if len(sum) != a.size {
				return nil
			}
			if name != wholeSum {
				sums.Write(sum)
				continue
			}
			stored, _, err := s.part(o.content, uint16(p.Number))
			if err != nil {
				return err
			}
			whole.add(binary.BigEndian.Uint64(sum), stored.size)
		}
		if name == wholeSum {
			*a.field(&o.Checksums) = binary.BigEndian.AppendUint64(nil, whole.sum)
		} else {
			*a.field(&o.PartSums) = sums.Sum(nil)
		}
	}
	return nil
}

// wholeSum is the checksum of which that of a whole can be told from those of its
// parts.
const wholeSum = "CRC64NVME"

// join is the CRC-64/NVME of a content that is made of parts: that of its beginning,
// moved on by as many zeros as the next part has bits, plus that of the part. Moving
// on is a linear map of the 64 bits; that of 2^k zeros is had by squaring the one of
// a single zero k times.
type join struct {
	sum   uint64
	size  int64 // that zeros is for: most parts have the same
	zeros matrix
}

func (j *join) add(sum uint64, size int64) {
	if size != j.size {
		j.size, j.zeros = size, shift(size)
	}
	if size > 0 {
		j.sum = j.zeros.times(j.sum) ^ sum
	}
}

// shift moves on by so many bytes.
func shift(size int64) matrix {
	var one, all matrix
	one[0] = nvmePolynomial
	for i := range all {
		all[i] = 1 << i
		if i > 0 {
			one[i] = 1 << (i - 1)
		}
	}
	for bits := uint64(size) * 8; bits > 0; bits >>= 1 {
		if bits&1 == 1 {
			all = one.after(&all)
		}
		one = one.after(&one)
	}
	return all
}

// matrix is a linear map of 64 bits: what becomes of each bit.
type matrix [64]uint64

func (m *matrix) times(v uint64) (sum uint64) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			sum ^= m[i]
		}
	}
	return sum
}

// after is first, and then m.
func (m *matrix) after(first *matrix) (both matrix) {
	for i, v := range first {
		both[i] = m.times(v)
	}
	return both
}

package keyed

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
)

// Batch collects writes that take effect together. The later write of a key
// wins. A Batch belongs to one goroutine and must be Closed.
type Batch struct {
	d *DB
	b *pebble.Batch
}

// Batch starts an empty batch.
func (d *DB) Batch() Batch { return Batch{d, d.p.NewBatch()} }

// Set stores value under key. Both are copied.
func (b Batch) Set(key, value []byte) { b.b.Set(key, value, nil) } // fails only after Commit

// Delete removes key.
func (b Batch) Delete(key []byte) { b.b.Delete(key, nil) }

// DeleteRange removes the keys from lower (inclusive) up to upper (exclusive)
// at a cost that does not depend on their number.
func (b Batch) DeleteRange(lower, upper []byte) { b.b.DeleteRange(lower, upper, nil) }

// Next counts up the number under key, 8 bytes with the highest first, and
// returns it: 1 if there was none. Whoever counts holds a lock until Commit.
func (b Batch) Next(key []byte) (uint64, error) {
	number := uint64(1)
	v, found, err := b.d.Get(key)
	if err != nil {
		return 0, err
	}
	if found {
		number = binary.BigEndian.Uint64(v.Bytes) + 1
		v.Release()
	}
	b.Set(key, binary.BigEndian.AppendUint64(nil, number))
	return number, nil
}

// Size is the number of bytes collected so far.
func (b Batch) Size() int { return b.b.Len() }

// Commit applies the batch durably. The batch may only be Closed afterwards.
func (b Batch) Commit() error { return b.commit(pebble.Sync) }

// CommitUnsynced applies the batch at once but lets a crash undo it, for work
// that would simply be done again.
func (b Batch) CommitUnsynced() error { return b.commit(pebble.NoSync) }

func (b Batch) commit(o *pebble.WriteOptions) error {
	return b.d.write("commit to", func() error { return b.b.Commit(o) })
}

// Close gives the batch's memory back, whether it was committed or not.
func (b Batch) Close() { b.b.Close() }

package queue

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Rows in the keyed store, all below keyed.SpaceQueue:
//
//	n <id>                      a queue: JSON, see row
//	#                           number given to the latest queue
//	c <number>                  counters of a queue: count, bytes and the latest
//	                            sequence number, each a uvarint
//	m <number> <at> <seq>       a message: a record, see below
//	b <number> <seq>            its body, if that is over InlineBytes
//	l <number> <seq>            where a message is that has been pulled: <at>
//
// Numbers are 8 bytes, big-endian. A queue's number and a message's sequence
// number are never used again. <at> is the millisecond from which a message may
// be delivered: a delay, a retry and the lease of a pulled message are a later
// one. So the rows of a queue are in the order of delivery, and those that are
// ready come first. A message in the hands of a push consumer stays where it is,
// noted in memory only.
const (
	rowQueue   = 'n'
	rowNumber  = '#'
	rowCounts  = 'c'
	rowMessage = 'm'
	rowBody    = 'b'
	rowLease   = 'l'
)

// InlineBytes is the largest body that is kept in its message's row, which is
// written anew with each retry.
const InlineBytes = 4096

// place is where a message is among those of its queue.
type place struct {
	at  int64 // ms since 1970
	seq uint64
}

func (p place) before(q place) bool { return p.at < q.at || p.at == q.at && p.seq < q.seq }

// after is the next place that a message could have.
func (p place) after() place { return place{p.at, p.seq + 1} }

// numberRow is the key of a row of a queue, or what those of its messages begin
// with.
func numberRow(kind byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyed.SpaceQueue, kind}, number)
}

func messageRow(number uint64, p place) []byte {
	k := make([]byte, 0, 26)
	k = append(k, keyed.SpaceQueue, rowMessage)
	k = binary.BigEndian.AppendUint64(k, number)
	k = binary.BigEndian.AppendUint64(k, uint64(p.at))
	return binary.BigEndian.AppendUint64(k, p.seq)
}

// placeOf reads the key of a message's row.
func placeOf(key []byte) place {
	return place{int64(binary.BigEndian.Uint64(key[10:])), binary.BigEndian.Uint64(key[18:])}
}

func seqRow(kind byte, number, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(numberRow(kind, number), seq)
}

// record is a message as it is stored:
//
//	1 byte    1: inline body, 2: body in its own row; plus 16: it has a lease row
//	1 byte    content type, an index of contentTypes
//	16 bytes  id
//	uvarint   when it was sent, ms since 1970
//	uvarint   how much later it came into this queue, ms
//	uvarint   attempts
//	uvarint   size of the body, only if that has its own row
//	rest      the body, otherwise
type record struct {
	id       [16]byte
	kind     byte
	leased   bool
	sent     int64
	aside    int64 // not 0 in a dead letter queue
	attempts uint64
	size     int
	body     []byte // nil if it is in its own row and has not been read
}

const (
	flagInline = 1
	flagApart  = 2
	flagLeased = 16
)

func (r *record) apart() bool { return r.size > InlineBytes }

// born is the millisecond from which retention counts.
func (r *record) born() int64 { return r.sent + r.aside }

func (r *record) name() string { return hex.EncodeToString(r.id[:]) }

func (r *record) append(dst []byte) []byte {
	flags := byte(flagInline)
	if r.apart() {
		flags = flagApart
	}
	if r.leased {
		flags |= flagLeased
	}
	dst = append(dst, flags, r.kind)
	dst = append(dst, r.id[:]...)
	dst = binary.AppendUvarint(dst, uint64(r.sent))
	dst = binary.AppendUvarint(dst, uint64(r.aside))
	dst = binary.AppendUvarint(dst, r.attempts)
	if r.apart() {
		return binary.AppendUvarint(dst, uint64(r.size))
	}
	return append(dst, r.body...)
}

var errRecord = errors.New("damaged message")

// decodeRecord reads a record. The body is copied.
func decodeRecord(b []byte) (r record, err error) {
	if len(b) < 18 || int(b[1]) >= len(contentTypes) {
		return r, errRecord
	}
	flags := b[0]
	r.kind, r.leased = b[1], flags&flagLeased != 0
	copy(r.id[:], b[2:18])
	b = b[18:]
	next := func() (v uint64) {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > math.MaxInt64/4 {
			err = errRecord
			return 0
		}
		b = b[n:]
		return v
	}
	r.sent, r.aside, r.attempts = int64(next()), int64(next()), next()
	switch flags &^ flagLeased {
	case flagApart:
		if r.size = int(next()); r.size <= InlineBytes || len(b) > 0 {
			err = errRecord
		}
	case flagInline:
		if r.size = len(b); r.apart() {
			err = errRecord
		}
		r.body = append([]byte{}, b...)
	default:
		err = errRecord
	}
	return r, err
}

// counters are what is known of a queue without looking at its messages.
type counters struct {
	count, bytes int64
	seq          uint64
}

func (c counters) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.count))
	dst = binary.AppendUvarint(dst, uint64(c.bytes))
	return binary.AppendUvarint(dst, c.seq)
}

func decodeCounters(b []byte) (c counters, err error) {
	var v [3]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 {
			return c, fmt.Errorf("damaged counters of a queue")
		}
		b = b[n:]
	}
	return counters{int64(v[0]), int64(v[1]), v[2]}, nil
}

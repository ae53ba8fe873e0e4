package kv

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Rows in the keyed store, all below keyed.SpaceKV:
//
//	n <id>                            namespace: JSON
//	t <title>                         id of the namespace with that title
//	d <number> <key>                  value: a record, see below
//	x <second> <number> <key>         index: the key may expire at that second
//	b <digest> <number> <key>         index: the value may be that blob
//	#                                 number given to the latest namespace
//
// A namespace's number is 8 bytes and never used again. The two indexes are
// hints: every value with an expiration or a blob has its row (both are written
// in one batch), but a row may be stale, so whoever follows one looks at the
// value before acting.
const (
	rowNamespace = 'n'
	rowTitle     = 't'
	rowValue     = 'd'
	rowExpiry    = 'x'
	rowBlob      = 'b'
	rowCounter   = '#'
)

func row(kind byte, parts ...string) []byte {
	k := []byte{keyed.SpaceKV, kind}
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

// valueRow appends the key of a value's row to dst.
func valueRow(dst []byte, number uint64, key string) []byte {
	dst = append(dst, keyed.SpaceKV, rowValue)
	dst = binary.BigEndian.AppendUint64(dst, number)
	return append(dst, key...)
}

func expiryRow(second int64, number uint64, key string) []byte {
	k := make([]byte, 0, 18+len(key))
	k = append(k, keyed.SpaceKV, rowExpiry)
	k = binary.BigEndian.AppendUint64(k, uint64(second))
	k = binary.BigEndian.AppendUint64(k, number)
	return append(k, key...)
}

func blobRow(d blob.Digest, number uint64, key string) []byte {
	k := make([]byte, 0, 42+len(key))
	k = append(k, keyed.SpaceKV, rowBlob)
	k = append(k, d[:]...)
	k = binary.BigEndian.AppendUint64(k, number)
	return append(k, key...)
}

// A record is the stored form of a value:
//
//	flags     1 byte; the top two bits are the format, 0
//	expires   8 bytes, second of expiration, if hasExpiry
//	length    2 bytes and metadata of that length, if hasMetadata
//	value     the rest; if isBlob, 32 bytes digest and 8 bytes size
//
// All numbers are big-endian.
type record struct {
	flags    byte
	expires  int64 // 0: never
	metadata []byte
	value    []byte // inline value; aliases the stored bytes
	digest   blob.Digest
	size     int64 // of the value, in bytes
}

const (
	hasExpiry   = 1 << 0
	hasMetadata = 1 << 1
	isBlob      = 1 << 2
	knownFlags  = hasExpiry | hasMetadata | isBlob
)

// maxRecordHead is the largest size of what precedes an inline value.
const maxRecordHead = 1 + 8 + 2 + MaxMetadataBytes

var errCorrupt = errors.New("stored value is damaged or was written by a newer version")

// appendHead appends a record without its value.
func appendHead(dst []byte, expires int64, metadata []byte) []byte {
	at := len(dst)
	dst = append(dst, 0)
	if expires != 0 {
		dst[at] |= hasExpiry
		dst = binary.BigEndian.AppendUint64(dst, uint64(expires))
	}
	if len(metadata) > 0 {
		dst[at] |= hasMetadata
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(metadata)))
		dst = append(dst, metadata...)
	}
	return dst
}

// appendBlob completes the record that starts dst with a reference to a blob.
func appendBlob(dst []byte, d blob.Digest, size int64) []byte {
	dst[0] |= isBlob
	dst = append(dst, d[:]...)
	return binary.BigEndian.AppendUint64(dst, uint64(size))
}

func decodeRecord(b []byte) (r record, err error) {
	take := func(n int) []byte {
		if len(b) < n {
			err = errCorrupt
			return make([]byte, n)
		}
		head := b[:n]
		b = b[n:]
		return head
	}
	r.flags = take(1)[0]
	if r.flags&^knownFlags != 0 {
		return r, errCorrupt
	}
	if r.flags&hasExpiry != 0 {
		r.expires = int64(binary.BigEndian.Uint64(take(8)))
	}
	if r.flags&hasMetadata != 0 {
		r.metadata = take(int(binary.BigEndian.Uint16(take(2))))
	}
	if r.flags&isBlob != 0 {
		r.digest = blob.Digest(take(len(r.digest)))
		r.size = int64(binary.BigEndian.Uint64(take(8)))
	} else {
		r.value, r.size = b, int64(len(b))
	}
	return r, err
}

func (r *record) expired(now int64) bool { return r.expires != 0 && r.expires <= now }

// A cursor is a version byte and the last key of the page, in base64url, so
// that it stays valid whatever is written or deleted meanwhile.
const cursorVersion = 1

func encodeCursor(last string) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{cursorVersion}, last...))
}

func decodeCursor(cursor string) (last string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) < 2 || b[0] != cursorVersion || len(b) > 1+MaxKeyBytes {
		return "", refuse(http.StatusBadRequest, "Invalid cursor. Please use the cursor of the previous list.")
	}
	return string(b[1:]), nil
}

func compact(m json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, m) != nil {
		return m
	}
	return b.Bytes()
}

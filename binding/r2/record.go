package r2

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Rows in the keyed store, all below keyed.SpaceR2:
//
//	n <name>                          bucket: JSON
//	#                                 number given to the latest bucket
//	s <number>                        what a bucket does beyond storing: JSON of settings
//	o <number> <key>                  object: JSON, see objectRow
//	u <number> <key, closed> <id>     upload that is not complete: JSON, see uploadRow
//	p <id> <part>                     part of a content, see part
//	m <id> <part>                     note of a part of an upload that is not complete:
//	                                  JSON, see partNote
//	b <digest> <id> <part>            index: that part may be that blob
//	e <queue> 00 <number>             event that a queue is to be told: JSON, see message
//	g <id>                            content to be deleted, once nobody reads it
//
// A bucket's number is 8 bytes and never used again. A content has a random id of
// 16 bytes: the version of its object. What was put as a whole is its part 0.
// Parts of an upload keep their numbers in the object, and their rows: completing
// an upload moves nothing.
//
// The index is a hint: every part that is a blob has its row (both are written in
// one batch), but a row may be stale, so whoever follows one looks at the part.
const (
	rowBucket   = 'n'
	rowCounter  = '#'
	rowSettings = 's'
	rowObject   = 'o'
	rowUpload   = 'u'
	rowPart     = 'p'
	rowPartNote = 'm'
	rowBlob     = 'b'
	rowNote     = 'e'
	rowGarbage  = 'g'
)

// contentID names a content. The id of an upload is that of the content it makes.
type contentID [16]byte

func newContentID() (id contentID) {
	rand.Read(id[:])
	return id
}

func (id contentID) version() string { return hex.EncodeToString(id[:]) }

// uploadID is the form in which clients know the id.
func (id contentID) uploadID() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// parseUploadID is ErrNoSuchUpload for what no upload is called.
func parseUploadID(s string) (id contentID, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, ErrNoSuchUpload
	}
	return contentID(b), nil
}

func row(kind byte, parts ...string) []byte {
	k := []byte{keyed.SpaceR2, kind}
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func numbered(kind byte, number uint64, key string) []byte {
	k := make([]byte, 0, 10+len(key)+20)
	k = append(k, keyed.SpaceR2, kind)
	k = binary.BigEndian.AppendUint64(k, number)
	return append(k, key...)
}

func objectKey(number uint64, key string) []byte { return numbered(rowObject, number, key) }

// closer ends a key so that rows sort by key first, and then by what follows.
var closer = strings.NewReplacer("\x00", "\x00\xff")

func uploadKey(number uint64, key string, id contentID) []byte {
	k := numbered(rowUpload, number, closer.Replace(key))
	k = append(k, 0, 1)
	return append(k, id[:]...)
}

// splitUploadKey finds key and id in what follows the number.
func splitUploadKey(rest []byte) (key string, id contentID, err error) {
	n := len(rest) - len(id) - 2
	if n < 0 || rest[n] != 0 || rest[n+1] != 1 {
		return "", id, errCorrupt
	}
	return strings.ReplaceAll(string(rest[:n]), "\x00\xff", "\x00"), contentID(rest[n+2:]), nil
}

func partKey(id contentID, number uint16) []byte {
	return binary.BigEndian.AppendUint16(row(rowPart, string(id[:])), number)
}

func partNoteKey(id contentID, number uint16) []byte {
	return binary.BigEndian.AppendUint16(row(rowPartNote, string(id[:])), number)
}

func blobKey(d blob.Digest, id contentID, number uint16) []byte {
	return binary.BigEndian.AppendUint16(row(rowBlob, string(d[:]), string(id[:])), number)
}

func garbageKey(id contentID) []byte { return row(rowGarbage, string(id[:])) }

var errCorrupt = errors.New("stored row is damaged or was written by a newer version")

// objectRow is the JSON of an object's row.
type objectRow struct {
	Content   []byte            `json:"v"`
	Size      int64             `json:"n"`
	ETag      string            `json:"e"`
	Uploaded  int64             `json:"t"` // in milliseconds since 1970
	HTTP      *HTTPMetadata     `json:"h,omitempty"`
	Custom    map[string]string `json:"c,omitempty"`
	Checksums Checksums         `json:"s,omitzero"`
	PartSums  Checksums         `json:"q,omitzero"`
	Class     string            `json:"k,omitempty"` // empty: Standard
	SSEC      string            `json:"x,omitempty"`
	Parts     bool              `json:"p,omitempty"`
}

func encodeObject(o *Object) ([]byte, error) {
	r := objectRow{Content: o.content[:], Size: o.Size, ETag: o.ETag, Uploaded: o.Uploaded.UnixMilli(),
		Custom: o.Custom, Checksums: o.Checksums, PartSums: o.PartSums, SSEC: o.SSECKeyMD5, Parts: o.parts}
	if o.HTTP != (HTTPMetadata{}) {
		r.HTTP = &o.HTTP
	}
	if o.StorageClass != Standard {
		r.Class = o.StorageClass
	}
	return json.Marshal(r)
}

func decodeObject(key string, data []byte) (*Object, error) {
	var r objectRow
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if len(r.Content) != len(contentID{}) {
		return nil, errCorrupt
	}
	o := &Object{Key: key, Size: r.Size, ETag: r.ETag, Uploaded: time.UnixMilli(r.Uploaded).UTC(), Custom: r.Custom,
		Checksums: r.Checksums, PartSums: r.PartSums, StorageClass: r.Class, SSECKeyMD5: r.SSEC, content: contentID(r.Content), parts: r.Parts}
	o.Version = o.content.version()
	if r.HTTP != nil {
		o.HTTP = *r.HTTP
	}
	if o.StorageClass == "" {
		o.StorageClass = Standard
	}
	return o, nil
}

// uploadRow is the JSON of an upload's row: what the object will have.
type uploadRow struct {
	Begun  int64             `json:"t"` // in milliseconds since 1970
	HTTP   HTTPMetadata      `json:"h,omitzero"`
	Custom map[string]string `json:"c,omitempty"`
	Class  string            `json:"k,omitempty"`
	SSEC   string            `json:"x,omitempty"`
	// Sum is the name of the checksum that is computed of every part.
	Sum string `json:"s,omitempty"`
}

// partNote is the JSON of what is told of a part until its upload is complete.
type partNote struct {
	Uploaded  int64     `json:"t"` // in milliseconds since 1970
	Checksums Checksums `json:"s,omitzero"`
}

// A part is stored as
//
//	form      1 byte: partInline or partBlob
//	size      8 bytes, big-endian: of the content, in bytes
//	md5       16 bytes, of the content
//	value     what is stored of it: the bytes, or the 32 bytes of a blob's digest
//
// With SSE-C the value is the encrypted content.
type part struct {
	form   byte
	size   int64
	md5    [md5.Size]byte
	inline []byte // aliases the stored bytes
	digest blob.Digest
}

const (
	partInline = 1
	partBlob   = 2
	partHead   = 1 + 8 + md5.Size
)

func appendPart(dst []byte, p part) []byte {
	dst = append(dst, p.form)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.size))
	dst = append(dst, p.md5[:]...)
	if p.form == partBlob {
		return append(dst, p.digest[:]...)
	}
	return append(dst, p.inline...)
}

func decodePart(b []byte) (p part, err error) {
	if len(b) < partHead {
		return p, errCorrupt
	}
	p.form, p.size, p.md5 = b[0], int64(binary.BigEndian.Uint64(b[1:])), [md5.Size]byte(b[9:])
	switch value := b[partHead:]; {
	case p.size < 0:
		return p, errCorrupt
	case p.form == partInline:
		p.inline = value
	case p.form == partBlob && len(value) == len(p.digest):
		p.digest = blob.Digest(value)
	default:
		return p, errCorrupt
	}
	return p, nil
}

// A cursor is a version byte, how to go on, and the last key or common prefix of
// the page, in base64url, so that it stays valid whatever is stored or deleted
// meanwhile.
const cursorVersion = 1

const (
	afterKey    = 'k'
	afterPrefix = 'p' // behind everything that begins with it
)

func encodeCursor(how byte, last string) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{cursorVersion, how}, last...))
}

func decodeCursor(cursor string) (how byte, last string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) < 3 || b[0] != cursorVersion || b[1] != afterKey && b[1] != afterPrefix || len(b) > 2+MaxKeyBytes {
		return 0, "", invalid("The cursor is not valid. Please use the cursor of the previous list.")
	}
	return b[1], string(b[2:]), nil
}

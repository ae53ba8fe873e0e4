package r2

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// SSE-C: the content is encrypted with a key that comes with every call and is
// not stored. What is stored is
//
//	salt      32 bytes, random
//	chunks    AES-256-GCM of 64 KiB each, with their tags of 16 bytes; only the
//	          last may be shorter, and there is always one
//
// The key of a part is derived from the customer's and the salt, so a nonce is
// never used twice: it is the number of the chunk and whether it is the last.
// Chunks cannot be swapped, left out or cut off unnoticed, and a range is read
// without what is before it.
const (
	ssecKeyBytes = 32
	ssecSalt     = 32
	ssecChunk    = 64 << 10
	ssecTag      = 16
)

var (
	errSSECNeeded = &Error{http.StatusBadRequest, ErrInvalidArgument.Code, "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."}
	errSSECWrong  = &Error{http.StatusForbidden, 10003, "The provided encryption parameters did not match the ones used originally."}
	errSSECUnused = &Error{http.StatusBadRequest, ErrInvalidArgument.Code, "The encryption parameters are not applicable to this object."}
)

func checkSSECKey(key []byte) error {
	if key != nil && len(key) != ssecKeyBytes {
		return invalid("The SSE-C key has %d bytes; it must have %d.", len(key), ssecKeyBytes)
	}
	return nil
}

// ssecKeyMD5 is what is stored of a key, "" of none.
func ssecKeyMD5(key []byte) string {
	if key == nil {
		return ""
	}
	sum := md5.Sum(key)
	return hex.EncodeToString(sum[:])
}

// unlocks says why a key does not open what was stored with that MD5 of a key.
func unlocks(key []byte, stored string) error {
	switch {
	case stored == "" && key == nil:
		return nil
	case stored == "":
		return errSSECUnused
	case key == nil:
		return errSSECNeeded
	}
	if err := checkSSECKey(key); err != nil {
		return err
	}
	if ssecKeyMD5(key) != stored {
		return errSSECWrong
	}
	return nil
}

// Unlocks says why a key of SSE-C, nil for none, does not open the object.
func (o *Object) Unlocks(key []byte) error { return unlocks(key, o.SSECKeyMD5) }

func ssecCipher(key, salt []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key, salt, "selvage r2 sse-c", ssecKeyBytes)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func ssecNonce(chunk int64, last bool) []byte {
	nonce := make([]byte, 12)
	binary.BigEndian.PutUint64(nonce[3:], uint64(chunk))
	if last {
		nonce[11] = 1
	}
	return nonce
}

// encrypter gives the stored form of what r gives.
type encrypter struct {
	r     io.Reader
	aead  cipher.AEAD
	plain []byte // a chunk, and the byte that tells whether another follows
	have  int
	chunk int64
	out   []byte // to be read
	buf   []byte
	err   error
}

func newEncrypter(r io.Reader, key []byte) (*encrypter, error) {
	salt := make([]byte, ssecSalt)
	rand.Read(salt)
	aead, err := ssecCipher(key, salt)
	if err != nil {
		return nil, err
	}
	return &encrypter{r: r, aead: aead, plain: make([]byte, ssecChunk+1), out: salt}, nil
}

func (e *encrypter) Read(p []byte) (int, error) {
	for len(e.out) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		e.fill()
	}
	n := copy(p, e.out)
	e.out = e.out[n:]
	return n, nil
}

func (e *encrypter) fill() {
	n, err := fill(e.plain[e.have:], e.r)
	if err != nil {
		e.err = err
		return
	}
	e.have += n
	size := min(e.have, ssecChunk)
	last := e.have <= ssecChunk
	e.buf = e.aead.Seal(e.buf[:0], ssecNonce(e.chunk, last), e.plain[:size], nil)
	e.out = e.buf
	e.chunk++
	e.have = copy(e.plain, e.plain[size:e.have])
	if last {
		e.err = io.EOF
	}
}

// decrypter gives the content from offset on.
type decrypter struct {
	r     io.ReadSeeker // of what is stored
	aead  cipher.AEAD
	size  int64 // of the content
	chunk int64
	skip  int // of the next chunk
	out   []byte
	buf   []byte
}

func newDecrypter(r io.ReadSeeker, key []byte, size, offset int64) (*decrypter, error) {
	salt := make([]byte, ssecSalt)
	if _, err := io.ReadFull(r, salt); err != nil {
		return nil, fmt.Errorf("read salt: %w", err)
	}
	aead, err := ssecCipher(key, salt)
	if err != nil {
		return nil, err
	}
	d := &decrypter{r: r, aead: aead, size: size, chunk: offset / ssecChunk, skip: int(offset % ssecChunk)}
	if d.chunk > 0 {
		if _, err := r.Seek(ssecSalt+d.chunk*(ssecChunk+ssecTag), io.SeekStart); err != nil {
			return nil, err
		}
	}
	return d, nil
}

var errSSECDamaged = errors.New("the encrypted content is damaged")

func (d *decrypter) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		at := d.chunk * ssecChunk
		if at >= d.size && (d.chunk > 0 || d.buf != nil) {
			return 0, io.EOF
		}
		size := min(d.size-at, ssecChunk)
		if d.buf == nil {
			d.buf = make([]byte, min(d.size, ssecChunk)+ssecTag)
		}
		sealed := d.buf[:size+ssecTag]
		if _, err := io.ReadFull(d.r, sealed); err != nil {
			return 0, fmt.Errorf("%w: %w", errSSECDamaged, err)
		}
		plain, err := d.aead.Open(sealed[:0], ssecNonce(d.chunk, at+size == d.size), sealed, nil)
		if err != nil {
			return 0, errSSECDamaged
		}
		d.chunk++
		d.out, d.skip = plain[min(d.skip, len(plain)):], 0
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

package blob

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// ErrDamaged says that the content of a blob is not what was stored. The
// error's text names the digest.
var ErrDamaged = errors.New("the blob is damaged")

// Reader reads a blob and proves what it gives: the Read that would return the
// last byte fails with ErrDamaged instead if the content has another digest
// than its name. That takes all bytes in order, so it holds for whoever reads
// from the beginning to the end. A read that begins elsewhere, a range, is not
// verified: to prove it the whole blob would have to be read.
//
// A Reader belongs to one goroutine.
type Reader struct {
	store  *Store
	file   *os.File
	info   os.FileInfo
	digest Digest
	size   int64
	at     int64     // the next byte
	hash   hash.Hash // of the first hashed bytes
	hashed int64
}

// Size is the number of bytes that the file has.
func (r *Reader) Size() int64 { return r.size }

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.file.Read(p)
	if r.at == r.hashed {
		r.hash.Write(p[:n])
		r.hashed += int64(n)
	}
	r.at += int64(n)
	ended := r.at >= r.size || err == io.EOF
	if ended && r.hashed == r.at {
		if Digest(r.hash.Sum(nil)) != r.digest {
			return 0, r.damaged()
		}
		r.store.prove(r.digest, r.info)
	}
	return n, err
}

// Seek implements io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	at, err := r.file.Seek(offset, whence)
	if err != nil {
		return at, err
	}
	r.at = at
	if at == 0 {
		r.hash.Reset()
		r.hashed = 0
	}
	return at, nil
}

// Close ends reading.
func (r *Reader) Close() error { return r.file.Close() }

func (r *Reader) damaged() error { return fmt.Errorf("read blob %s: %w", r.digest, ErrDamaged) }

func (s *Store) newReader(f *os.File, d Digest) (*Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &Reader{store: s, file: f, info: info, digest: d, size: info.Size(), hash: sha256.New()}, nil
}

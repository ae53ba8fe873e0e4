package r2

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// fill reads until p is full or r ends. Unlike io.ReadFull it lets a body that
// was cut off be told from one that is shorter than p.
func fill(p []byte, r io.Reader) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// bounded refuses to read on past the largest content.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

var heads = sync.Pool{New: func() any { return new([InlineBytes + 1]byte) }}

// written is a content that is on the disk, if it is a file, and that no row
// refers to yet.
type written struct {
	part
	sums Checksums
	pin  *blob.Pin // nil: it is inline
}

// write stores what r gives, encrypted if there is a key, and compares its
// checksums. The caller releases it.
func (s *Store) write(r io.Reader, want Checksums, trailing func() (Checksums, error), key []byte) (w written, err error) {
	s.writing.Add(1)
	defer s.writing.Add(-1)
	digest := newDigester(want, trailing)
	source := &bounded{r, s.maxPut}
	plain := io.TeeReader(source, digest)
	stored := plain
	if key != nil {
		if stored, err = newEncrypter(plain, key); err != nil {
			return w, err
		}
	}
	head := heads.Get().(*[InlineBytes + 1]byte)
	defer heads.Put(head)
	n, err := fill(head[:], stored)
	if err != nil {
		return w, err
	}
	if n <= InlineBytes {
		w.form, w.inline = partInline, bytes.Clone(head[:n])
	} else {
		if w.pin, err = s.blobs.Put(io.MultiReader(bytes.NewReader(head[:n]), stored)); err != nil {
			return w, err
		}
		w.form, w.digest = partBlob, w.pin.Digest
	}
	if w.sums, err = digest.sums(); err != nil {
		s.unwrite(w)
		return w, err
	}
	w.size, w.md5 = s.maxPut-source.left, [md5.Size]byte(w.sums.MD5)
	return w, nil
}

// release lets go of a content that a row refers to, or none ever will.
func (w *written) release() {
	if w.pin != nil {
		w.pin.Release()
		w.pin = nil
	}
}

// unwrite is release for a content that is not wanted: nobody waits for a sweep
// while such files fill the disk.
func (s *Store) unwrite(w written) {
	if w.pin != nil {
		w.release()
		s.discard(w.digest)
	}
}

// setPart adds to b a part of a content.
func setPart(b keyed.Batch, id contentID, number uint16, p part) {
	b.Set(partKey(id, number), appendPart(make([]byte, 0, partHead+len(p.inline)+32), p))
	if p.form == partBlob {
		b.Set(blobKey(p.digest, id, number), nil)
	}
}

// deletePart adds to b the removal of a part.
func deletePart(b keyed.Batch, id contentID, number uint16, p part) {
	b.Delete(partKey(id, number))
	if p.form == partBlob {
		b.Delete(blobKey(p.digest, id, number))
	}
}

// part finds a part and copies it.
func (s *Store) part(id contentID, number uint16) (p part, found bool, err error) {
	v, found, err := s.db.Get(partKey(id, number))
	if err != nil || !found {
		return p, false, err
	}
	defer v.Release()
	p, err = decodePart(v.Bytes)
	p.inline = bytes.Clone(p.inline)
	return p, true, err
}

// parts calls f with each part of a content, in order, from number first on, until
// it returns false. What f gets is valid only during the call.
func (s *Store) parts(id contentID, first uint16, f func(number uint16, p part) bool) error {
	prefix := row(rowPart, string(id[:]))
	var failed error
	err := s.db.Scan(partKey(id, first), keyed.After(prefix), func(k, v []byte) bool {
		p, err := decodePart(v)
		if err != nil || len(k) != len(prefix)+2 {
			failed = fmt.Errorf("part %x: %w", k[len(prefix):], errCorrupt)
			return false
		}
		return f(uint16(k[len(k)-2])<<8|uint16(k[len(k)-1]), p)
	})
	return errors.Join(err, failed)
}

// open reads a part from offset on. It is a *blob.Reader if the content is a file as
// it is.
func (s *Store) open(p part, key []byte, offset int64) (io.ReadCloser, error) {
	var stored io.ReadSeeker = bytes.NewReader(p.inline)
	var opened io.ReadCloser = io.NopCloser(stored)
	if p.form == partBlob {
		file, err := s.blobs.Open(p.digest)
		if err != nil {
			return nil, err
		}
		stored, opened = file, file
	}
	var err error
	if key != nil {
		var plain *decrypter
		plain, err = newDecrypter(stored, key, p.size, offset)
		opened = struct {
			io.Reader
			io.Closer
		}{plain, opened}
	} else if offset > 0 {
		_, err = stored.Seek(offset, io.SeekStart)
	}
	if err != nil {
		opened.Close()
		return nil, err
	}
	return opened, nil
}

// Reader reads an object, or a range of it, as a stream. It gives the object as it
// was when it was opened, whatever happens to the key meanwhile. Close it.
type Reader struct {
	Object
	// Offset and Length are the range that is read.
	Offset, Length int64
	// Parts is of how many parts the object was made, 0 if it was put as a whole. It
	// is set if GetOptions.Part is.
	Parts int

	content io.ReadCloser
}

// Read implements io.Reader. An error that is blob.ErrDamaged says that what is
// there is not what was stored.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.content.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read %q: %w", r.Key, err)
	}
	return n, err
}

// WriteTo implements io.WriterTo, so that the kernel can send what is a file.
func (r *Reader) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, r.content) }

// Close ends reading.
func (r *Reader) Close() error { return r.content.Close() }

// content reads the stored content of an object, or a range of it.
type content struct {
	of     *Object
	s      *Store
	key    []byte
	left   int64
	now    io.ReadCloser // of the part that is being read; nil before the first and between two
	next   uint16        // number of the part after it
	skip   int64         // of the next part
	pinned bool
	closed bool
}

func (r *content) Read(p []byte) (int, error) {
	for r.left > 0 {
		if r.now == nil {
			if err := r.advance(); err != nil {
				return 0, err
			}
		}
		n, err := r.now.Read(p[:min(int64(len(p)), r.left)])
		r.left -= int64(n)
		if err == io.EOF || err == nil && n == 0 && len(p) > 0 {
			if !r.of.parts && r.left > 0 {
				return n, fmt.Errorf("%w: it ends %d bytes early", blob.ErrDamaged, r.left)
			}
			r.now.Close()
			r.now, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

func (r *content) WriteTo(w io.Writer) (sent int64, err error) {
	for r.left > 0 {
		if r.now == nil {
			if err := r.advance(); err != nil {
				return sent, err
			}
		}
		var n int64
		if file, ok := r.now.(*blob.Reader); ok {
			n, err = file.SendTo(w, r.left)
		} else {
			n, err = io.Copy(w, io.LimitReader(r.now, r.left))
		}
		r.left -= n
		sent += n
		if err == nil && !r.of.parts && r.left > 0 {
			err = fmt.Errorf("%w: it ends %d bytes early", blob.ErrDamaged, r.left)
		}
		if err != nil {
			return sent, err
		}
		r.now.Close()
		r.now = nil
	}
	return sent, nil
}

// advance opens the next part that has bytes to read.
func (r *content) advance() error {
	var p part
	var found bool
	var err error
	if !r.of.parts {
		p, found, err = r.s.part(r.of.content, r.next)
		r.next++
	} else {
		p, found, err = r.nextPart()
	}
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: %d bytes are missing", blob.ErrDamaged, r.left)
	}
	r.now, err = r.s.open(p, r.key, r.skip)
	r.skip = 0
	return err
}

// nextPart finds the next part of several that has bytes to read.
func (r *content) nextPart() (p part, found bool, err error) {
	err = r.s.parts(r.of.content, r.next, func(number uint16, candidate part) bool {
		r.next = number + 1
		if candidate.size <= r.skip {
			r.skip -= candidate.size
			return true
		}
		p, found = candidate, true
		p.inline = bytes.Clone(p.inline)
		return false
	})
	return p, found, err
}

func (r *content) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	r.s.reading.Add(-1)
	var err error
	if r.now != nil {
		err = r.now.Close()
		r.now = nil
	}
	if r.pinned {
		r.pinned = false
		r.s.unpin(r.of.content)
	}
	r.left = 0
	return err
}

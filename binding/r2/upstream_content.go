package r2

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"sync"
)

// Sized is a content whose size is known before it is read. A bucket on another
// server then needs no copy of it on this node's disk. More or fewer bytes are an
// error.
type Sized struct {
	io.Reader
	Bytes int64
}

var errWrongSize = invalid("The content does not have the size that was said.")

// maxHeld is the largest content that is kept in memory until it is sent. Of larger
// ones those of known size stream through, and others are a file meanwhile.
const maxHeld = 256 << 10

// outgoing is a content to be sent to another server.
type outgoing struct {
	// Reader is an io.Seeker if the content can be sent again. It is verified then.
	io.Reader
	size int64
	md5  string // in base64; empty if it is not known before
	sums Checksums
	file *os.File
}

// take makes a content ready to be sent, and verifies it unless it streams. It does
// not stream if there are checksums to be stored that are not known before.
func (s *Store) take(r io.Reader, want Checksums, trailing func() (Checksums, error)) (*outgoing, error) {
	digest := newDigester(want, trailing)
	sized, known := r.(Sized)
	switch {
	case known && sized.Bytes > s.maxPut:
		return nil, ErrTooLarge
	case known && sized.Bytes > maxHeld && trailing == nil && want.complete():
		return &outgoing{Reader: &stream{r: sized.Reader, left: sized.Bytes, digest: digest}, size: sized.Bytes, sums: want}, nil
	}
	out := &outgoing{}
	source := io.TeeReader(&bounded{r, s.maxPut}, digest)
	var head bytes.Buffer
	n, err := io.CopyN(&head, source, maxHeld+1)
	out.size, out.Reader = n, bytes.NewReader(head.Bytes())
	if err == nil {
		if err = out.spool(s, io.MultiReader(&head, source)); err != nil {
			out.close()
			return nil, err
		}
	} else if err != io.EOF {
		return nil, err
	}
	if known && out.size != sized.Bytes {
		err = errWrongSize
	} else {
		out.sums, err = digest.sums()
		out.md5 = base64.StdEncoding.EncodeToString(out.sums.MD5)
	}
	if err != nil {
		out.close()
		return nil, err
	}
	return out, nil
}

// complete reports whether no checksum is yet to be computed.
func (c *Checksums) complete() bool {
	for _, a := range algorithms {
		if v := *a.field(c); v != nil && len(v) == 0 {
			return false
		}
	}
	return true
}

// spool writes a content to a file, which has no name and so goes with the process.
func (out *outgoing) spool(s *Store, r io.Reader) (err error) {
	if out.file, err = s.blobs.Temp(); err != nil {
		return err
	}
	if out.size, err = io.Copy(out.file, r); err != nil {
		return err
	}
	out.Reader = io.NewSectionReader(out.file, 0, out.size)
	return nil
}

func (out *outgoing) repeatable() bool {
	_, ok := out.Reader.(io.Seeker)
	return ok
}

// reason is why sending failed: the content's own error comes first.
func (out *outgoing) reason(err error) error {
	if s, ok := out.Reader.(*stream); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err != nil && s.err != io.EOF {
			return contentError{s.err}
		}
	}
	return err
}

// contentError is what went wrong with the content, and not with the server.
type contentError struct{ error }

func (e contentError) Unwrap() error { return e.error }

// close ends sending: from then on nothing is read.
func (out *outgoing) close() {
	if s, ok := out.Reader.(*stream); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil {
			s.err = errClosed
		}
	}
	if out.file != nil {
		out.file.Close()
	}
}

var errClosed = errors.New("the call has ended")

// stream gives a content while it comes. It keeps back the last byte until the
// content has been verified: a server does not store a body that is cut off.
type stream struct {
	mu     sync.Mutex // the HTTP client may read on when the call has ended
	r      io.Reader
	left   int64
	digest *digester
	err    error
}

func (s *stream) Read(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || len(p) == 0 {
		return 0, s.err
	}
	if s.left > 1 {
		n, err = s.r.Read(p[:min(int64(len(p)), s.left-1)])
		s.digest.Write(p[:n])
		s.left -= int64(n)
		if err == io.EOF {
			err = errWrongSize
		}
		s.err = err
		return n, err
	}
	var last [2]byte
	n, err = fill(last[:], s.r)
	s.digest.Write(last[:n])
	if err == nil && n != 1 {
		err = errWrongSize
	}
	if err == nil {
		_, err = s.digest.sums()
	}
	if s.err = err; err != nil {
		return 0, err
	}
	p[0] = last[0]
	s.left, s.err = 0, io.EOF
	return 1, nil
}

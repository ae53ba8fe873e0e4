package blob

import (
	"io"
	"os"
	"sync"
	"time"
)

// A whole blob may be sent by the kernel, which looks at nothing, for trust after
// its content was seen to be right, by Put or by a Reader, unless its file has been
// written since.
const trust = time.Hour

// maxProofs bounds what is remembered, 72 bytes each.
const maxProofs = 10_000

// proof says when a blob was seen to be right, and which state of its file.
type proof struct {
	seen, modified time.Time
	size           int64
}

func (s *Store) prove(d Digest, info os.FileInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.proofs) >= maxProofs {
		clear(s.proofs)
	}
	s.proofs[d] = proof{s.now(), info.ModTime(), info.Size()}
}

func (s *Store) proven(d Digest, info os.FileInfo) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.proofs[d]
	return ok && s.now().Sub(p.seen) < trust && p.modified.Equal(info.ModTime()) && p.size == info.Size()
}

// SendTo gives the next n bytes to w, or those that there are. If w is an
// io.ReaderFrom it gets the file, so that the kernel can send it; the whole blob only
// as long as it is trusted. Otherwise it is as if w was given what Read gives.
func (r *Reader) SendTo(w io.Writer, n int64) (int64, error) {
	n = max(min(n, r.size-r.at), 0)
	whole := r.at == r.hashed && r.at+n == r.size
	if to, ok := w.(io.ReaderFrom); ok && (!whole || r.store.proven(r.digest, r.info)) {
		sent, err := to.ReadFrom(&io.LimitedReader{R: r.file, N: n})
		r.at += sent
		return sent, err
	}
	buffer := buffers.Get().(*[128 << 10]byte)
	defer buffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(r, n), buffer[:])
}

var buffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

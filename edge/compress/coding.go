package compress

import (
	"io"
	"strings"
	"sync"
	"sync/atomic"

	andybalholm "github.com/andybalholm/brotli"
	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// coding is a content coding.
type coding uint8

const (
	identity coding = iota
	gzip
	brotli
	zstandard
	codings = iota
)

var names = [codings]string{"identity", "gzip", "br", "zstd"}

// least is the length of the smallest body that Cloudflare compresses.
//
// Source: https://developers.cloudflare.com/speed/optimization/content/compression/
var least = [codings]int64{gzip: 48, brotli: 50, zstandard: 50}

// encoderMemory is what an encoder holds on to, in bytes, rounded up.
var encoderMemory = [codings]int64{gzip: 1100 << 10, brotli: 2800 << 10, zstandard: 900 << 10}

// decoderMemory is what a decoder may come to hold, in bytes. A Brotli stream
// says in its first byte how large a window it needs.
//
// Source: RFC 7932, 9.1
func decoderMemory(c coding, first byte) int64 {
	if c != brotli {
		return 64 << 10
	}
	bits := 17
	switch low, high := first>>1&7, first>>4&7; {
	case first&1 == 0:
		bits = 16
	case low != 0:
		bits = 17 + int(low)
	case high > 1: // 1 is not valid
		bits = 8 + int(high)
	}
	return 1<<bits + 192<<10
}

func (c coding) String() string { return names[c] }

// codingNamed finds a coding by its name, x-gzip among them.
func codingNamed(name string) (coding, bool) {
	for c, n := range names {
		if strings.EqualFold(name, n) {
			return coding(c), true
		}
	}
	if strings.EqualFold(name, "x-gzip") {
		return gzip, true
	}
	return identity, false
}

// encoder is one of the three. Flush passes on all that was written.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// window is how far back encoders look for repetitions. A larger one helps few
// bodies of the web, and each encoder holds several times that much.
const (
	windowBits = 18
	window     = 1 << windowBits
)

// newEncoder makes one that is as fast as is sensible for what is made at each
// request; see RATIONALE.md for the figures.
func newEncoder(c coding) encoder {
	switch c {
	case gzip:
		e, err := kgzip.NewWriterLevel(nil, 5)
		return must(e, err)
	case brotli:
		return andybalholm.NewWriterOptions(nil, andybalholm.WriterOptions{Quality: 4, LGWin: windowBits})
	default:
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		return must(e, err)
	}
}

// must is for settings that are constants.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// budget is memory, in bytes, that nobody uses.
type budget struct{ left atomic.Int64 }

// take reports whether there are n bytes; give returns them.
func (b *budget) take(n int64) bool {
	if b.left.Add(-n) >= 0 {
		return true
	}
	b.left.Add(n)
	return false
}

func (b *budget) give(n int64) { b.left.Add(n) }

// encoders lends them as long as there is memory.
type encoders struct {
	budget budget
	idle   [codings]sync.Pool
}

// take returns an encoder that writes to out, or nil when the memory is in use.
func (s *encoders) take(c coding, out io.Writer) encoder {
	if !s.budget.take(encoderMemory[c]) {
		return nil
	}
	e, ok := s.idle[c].Get().(encoder)
	if !ok {
		e = newEncoder(c)
	}
	e.Reset(out)
	return e
}

// done takes an encoder back, whatever became of its body.
func (s *encoders) done(c coding, e encoder) {
	e.Reset(io.Discard)
	s.idle[c].Put(e)
	s.budget.give(encoderMemory[c])
}

// newDecoder reads in. It reads the header of a gzip stream at once.
func newDecoder(c coding, in io.Reader) (io.Reader, error) {
	if c == brotli {
		return andybalholm.NewReader(in), nil
	}
	return kgzip.NewReader(in)
}

package hop

import (
	"io"
	"sync"
)

// Sizes of what is read at once: little, until that turns out to be too little.
const (
	littleBuffer = 4 << 10
	buffer       = 32 << 10
)

var (
	littleBuffers = sync.Pool{New: func() any { return new([littleBuffer]byte) }}
	buffers       = sync.Pool{New: func() any { return new([buffer]byte) }}
)

// relay gives pass what it reads from src, part by part, until an error of
// either, which it returns; the end of src is no error. wait is what
// await.Readable gives for src; when it is not nil, a buffer is held only while
// bytes are on their way.
func relay(src io.Reader, wait func(), pass func([]byte) error) error {
	for much := false; ; {
		if wait != nil {
			wait()
		}
		n, err := relayPart(src, much, pass)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		much = n >= littleBuffer
	}
}

func relayPart(src io.Reader, much bool, pass func([]byte) error) (int, error) {
	var p []byte
	if much {
		b := buffers.Get().(*[buffer]byte)
		defer buffers.Put(b)
		p = b[:]
	} else {
		b := littleBuffers.Get().(*[littleBuffer]byte)
		defer littleBuffers.Put(b)
		p = b[:]
	}
	n, err := src.Read(p)
	if n > 0 {
		if e := pass(p[:n]); e != nil {
			return n, e
		}
	}
	return n, err
}

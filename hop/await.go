package hop

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// ReadWaiter returns a function that waits until c has something to read: data,
// its end, or an error. So a connection that says nothing needs no buffer. It is
// nil for what cannot tell. Wrappers of connections have a method of that name.
func ReadWaiter(c any) func() {
	if w, ok := c.(interface{ ReadWaiter() func() }); ok {
		return w.ReadWaiter()
	}
	sc, ok := c.(syscall.Conn)
	if _, isConn := c.(net.Conn); !ok || !isConn {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	var one [1]byte
	ready := func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		return !errors.Is(err, syscall.EAGAIN)
	}
	return func() { raw.Read(ready) } // its error is that of the Read that follows
}

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
// either, which it returns; the end of src is no error. wait is src's ReadWaiter
// or nil; with it, a buffer is held only while bytes are on their way.
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

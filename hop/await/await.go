// Package await waits for connections that may say nothing for days.
package await

import (
	"errors"
	"net"
	"syscall"
)

// Readable returns a function that waits until c has something to read: data,
// its end, or an error. So a connection that says nothing needs no buffer. It is
// nil for what cannot tell. What wraps a connection has a method ReadWaiter for
// it. The function is for one goroutine at a time.
func Readable(c any) func() {
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

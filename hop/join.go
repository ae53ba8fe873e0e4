package hop

import (
	"context"
	"io"
)

// Join copies bytes between a client and an upstream until both have said
// everything, one of them fails, or ctx ends, and returns the number of bytes
// that went to the client. When one side ends its half, the other side is told
// (CloseWrite) and may go on. from is where the client's bytes are read, usually
// client itself behind what was buffered. Join closes both sides.
func Join(ctx context.Context, client io.WriteCloser, from io.Reader, upstream io.ReadWriteCloser) int64 {
	end := func() {
		client.Close()
		upstream.Close()
	}
	defer context.AfterFunc(ctx, end)()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := copyBody(upstream, from, func() {}); err != nil || !closeWrite(upstream) {
			end()
		}
	}()
	n, err := copyBody(client, upstream, func() {})
	if err != nil || !closeWrite(client) {
		end()
	}
	<-done
	end()
	return n
}

// closeWrite ends the writing half of c and reports whether c can do that.
func closeWrite(c any) bool {
	cw, ok := c.(interface{ CloseWrite() error })
	return ok && cw.CloseWrite() == nil
}

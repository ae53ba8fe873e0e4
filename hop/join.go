package hop

import (
	"context"
	"io"
	"time"
)

// Join copies bytes between a client and an upstream until both have said
// everything, one of them fails, or ctx ends, and returns the number of bytes
// that went to the client. When one side ends its half, the other side is told
// (CloseWrite) and may go on. from is where the client's bytes are read, usually
// client itself behind what was buffered. Join closes both sides.
func Join(ctx context.Context, client io.WriteCloser, from io.Reader, upstream io.ReadWriteCloser) int64 {
	return join(ctx, client, from, upstream, 0)
}

// websocketLinger is how long one side of a WebSocket may go on after the other
// has ended its half. The protocol knows no half-closed connection (RFC 6455,
// 7.1.1): a client that ended its half has usually left without a word, and a
// Worker that never writes would not notice.
const websocketLinger = 5 * time.Second

// join is Join where the second half must end within linger; 0 is no bound.
func join(ctx context.Context, client io.WriteCloser, from io.Reader, upstream io.ReadWriteCloser, linger time.Duration) int64 {
	end := func() {
		client.Close()
		upstream.Close()
	}
	defer context.AfterFunc(ctx, end)()
	bound := func() {}
	if linger > 0 {
		timer := time.AfterFunc(time.Hour, end)
		timer.Stop()
		defer timer.Stop()
		bound = func() { timer.Reset(linger) }
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer bound()
		if _, err := copyBody(upstream, from, func() {}); err != nil || !closeWrite(upstream) {
			upstream.Close()
			client.Close()
		}
	}()
	n, err := copyBody(client, upstream, func() {})
	bound()
	if err != nil || !closeWrite(client) {
		client.Close()
		upstream.Close()
	}
	<-done
	client.Close()
	upstream.Close()
	return n
}

// closeWrite ends the writing half of c and reports whether c can do that.
func closeWrite(c any) bool {
	cw, ok := c.(interface{ CloseWrite() error })
	return ok && cw.CloseWrite() == nil
}

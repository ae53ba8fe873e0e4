package await_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/hop/await"
)

func TestReadable(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			one, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			other, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			wait := await.Readable(one)
			io.WriteString(other, "hi")
			wait()
			wait() // it takes nothing away
			p := make([]byte, 2)
			if n, err := one.Read(p); n != 2 || err != nil {
				t.Errorf("%q, %v", p[:n], err)
			}
			waited := make(chan bool)
			for _, c := range []struct {
				what string
				do   func()
			}{
				{"data", func() { other.Write(p[:1]) }},
				{"a deadline", func() { one.Read(p); one.SetReadDeadline(time.Unix(1, 0)) }},
				{"the end of the other side", func() { one.SetReadDeadline(time.Time{}); other.Close() }},
				{"closing", func() { one.Close() }},
			} {
				go func() {
					wait()
					waited <- true
				}()
				c.do()
				select {
				case <-waited:
				case <-time.After(time.Minute):
					t.Fatalf("nobody was woken by %s", c.what)
				}
			}
		})
	}
}

func TestNotKnown(t *testing.T) {
	one, other := net.Pipe()
	defer one.Close()
	defer other.Close()
	for _, c := range []any{nil, &bytes.Buffer{}, one, tls.Client(one, nil)} {
		if await.Readable(c) != nil {
			t.Errorf("%T can tell", c)
		}
	}
}

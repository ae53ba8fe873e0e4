package http1

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// echoes becomes a WebSocket at /ws, as far as the connection sees, and at /sse
// sends a part of its response whenever next says so.
func echoes(next <-chan bool) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		switch r.URL.Path {
		case "/ws":
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return err
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			io.CopyN(c, rw, int64(rw.Reader.Buffered()))
			io.Copy(c, c)
		case "/sse":
			for range next {
				io.WriteString(w, "data: x\n\n")
				w.(http.Flusher).Flush()
			}
		}
		return nil
	}
}

func TestUpgradeIsLikeNetHTTP(t *testing.T) {
	for _, tolerant := range []bool{false, true} {
		o := options(echoes(nil))
		o.Tolerant = tolerant
		testUpgrade(t, o)
	}
}

func testUpgrade(t *testing.T, o Options) {
	withShort, without := startBoth(t, o)
	for _, header := range []string{
		"Connection: Upgrade\r\nUpgrade: websocket\r\n",
		"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n",
		"Connection: Upgrade\r\n",
		"Upgrade: websocket\r\n",
		"Connection: close, Upgrade\r\nUpgrade: websocket\r\n",
		"Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
	} {
		for _, path := range []string{"/ws", "/refused"} {
			for _, early := range []string{"", "\x81\x02hi", strings.Repeat("\x82\x00", 5000)} {
				data := []byte("GET " + path + " HTTP/1.1\r\nHost: a\r\n" + header + "\r\n" + early)
				if got, want := exchangeAll(t, withShort, data), exchangeAll(t, without, data); got != want {
					t.Errorf("tolerant %v, %q: %.200q, net/http: %.200q", o.Tolerant, data[:min(len(data), 100)], got, want)
				}
			}
		}
	}
}

// A WebSocket or a stream may say nothing for longer than a connection without a
// request may live.
func TestQuietConnectionsLive(t *testing.T) {
	next := make(chan bool)
	o := options(echoes(next))
	o.IdleTimeout = 20 * time.Millisecond
	_, addr := start(t, o, nil)
	ask := func(path, header string) (io.Writer, *bufio.Reader) {
		c, br := dial(t, addr)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, header)
		return c, br
	}
	ws, fromWS := ask("/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n")
	if res, err := http.ReadResponse(fromWS, nil); err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	_, fromSSE := ask("/sse", "")
	next <- true
	sse, err := http.ReadResponse(fromSSE, nil)
	if err != nil {
		t.Fatal(err)
	}
	event := make([]byte, len("data: x\n\n"))
	read := func() {
		t.Helper()
		if _, err := io.ReadFull(sse.Body, event); err != nil {
			t.Fatal(err)
		}
	}
	read()
	for range 3 { // each of these connections is closed for having been idle
		_, idle := ask("/", "")
		if _, err := io.ReadAll(idle); err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(ws, "hi")
	if _, err := io.ReadFull(fromWS, event[:2]); err != nil || string(event[:2]) != "hi" {
		t.Errorf("%q, %v", event[:2], err)
	}
	next <- true
	read()
	close(next)
}

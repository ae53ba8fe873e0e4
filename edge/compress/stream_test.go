package compress

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// stream sends a request and gives the body as it comes, decoded.
func stream(t *testing.T, addr, accept string) io.Reader {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: "+accept+"\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	switch res.Header.Get("Content-Encoding") {
	case "zstd":
		d, err := zstd.NewReader(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		return d
	case "gzip", "br":
		from, _ := codingNamed(res.Header.Get("Content-Encoding"))
		d, err := newDecoder(from, res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return res.Body
}

// What is flushed reaches the client before more is written: compressed, as it
// is, and decoded.
func TestFlush(t *testing.T) {
	for _, c := range []struct{ accept, contentType, encoding string }{
		{"gzip", "text/plain", ""},
		{"br", "text/plain", ""},
		{"zstd", "text/plain", ""},
		{"gzip", "text/event-stream", ""},
		{"identity", "text/event-stream", "gzip"},
		{"identity", "text/event-stream", "br"},
		{"gzip", "text/event-stream", "gzip"},
		{"zstd", "text/plain", "gzip"},
	} {
		t.Run(c.accept+" "+c.contentType+" "+c.encoding, func(t *testing.T) {
			arrived := make(chan bool)
			_, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", c.contentType)
				var out io.Writer = w
				flush := func() error { return nil }
				if c.encoding != "" {
					w.Header().Set("Content-Encoding", c.encoding)
					from, _ := codingNamed(c.encoding)
					e := newEncoder(from)
					e.Reset(w)
					defer e.Close()
					out, flush = e, e.Flush
				}
				w.WriteHeader(200)
				w.(http.Flusher).Flush() // as the hop does
				for i := range 3 {
					fmt.Fprintf(out, "data: %d\n\n", i)
					flush()
					w.(http.Flusher).Flush()
					select {
					case <-arrived:
					case <-r.Context().Done():
						return
					}
				}
			})
			body := bufio.NewReader(stream(t, addr, c.accept))
			for i := range 3 {
				line, err := body.ReadString('\n')
				if err != nil || line != fmt.Sprintf("data: %d\n", i) {
					t.Fatalf("part %d: %q, %v", i, line, err)
				}
				if line, err = body.ReadString('\n'); line != "\n" {
					t.Fatalf("part %d: %q, %v", i, line, err)
				}
				arrived <- true
			}
			if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
				t.Errorf("the end: %q, %v", rest, err)
			}
		})
	}
}

// What the client decodes is what the handler wrote, whatever both say.
func TestEveryBodyArrives(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	var current func(w http.ResponseWriter)
	_, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) { current(w) })
	for range 400 {
		sizes := []int{0, 1, 47, 48, 49, 50, 511, 512, 513, 4000, 300_000}
		body := make([]byte, sizes[random.IntN(len(sizes))])
		noise := random.IntN(2) == 0
		for i := range body {
			if body[i] = byte('a' + i%7); noise {
				body[i] = byte(random.IntN(256))
			}
		}
		var accept []string
		for range random.IntN(4) {
			accept = append(accept, pick("gzip", "br", "zstd", "*", "identity", "deflate", "nonsense;;")+pick("", "", ";q=0", ";q=0.5", ";q=1"))
		}
		status := []int{200, 200, 200, 403, 404, 500}[random.IntN(6)]
		contentType := pick("text/html", "application/wasm", "image/png", "text/event-stream")
		known, flushed, head := random.IntN(2) == 0, random.IntN(2) == 0, random.IntN(8) == 0
		sent := string(body)
		from := coding(random.IntN(6)) // identity more often than not
		if from == gzip || from == brotli {
			sent = encode(from, sent)
		} else {
			from = identity
		}
		parts := random.IntN(5) + 1
		current = func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", contentType)
			if from != identity {
				w.Header().Set("Content-Encoding", from.String())
			}
			if known {
				w.Header().Set("Content-Length", fmt.Sprint(len(sent)))
			}
			w.WriteHeader(status)
			for i := range parts {
				io.WriteString(w, sent[len(sent)*i/parts:len(sent)*(i+1)/parts])
				if flushed {
					w.(http.Flusher).Flush()
				}
			}
		}
		headers := ""
		if len(accept) > 0 {
			headers = "Accept-Encoding: " + strings.Join(accept, ", ") + "\r\n"
		}
		method := "GET"
		if head {
			method = "HEAD"
		}
		res, got := ask(t, addr, method, headers)
		if head {
			continue
		}
		if text := decoded(t, res, got); text != string(body) {
			t.Fatalf("%q to %d bytes of %s in %s, length known %t, flushed %t, in %d parts: %d bytes in %q", headers, len(body), contentType, from, known, flushed, parts, len(text), res.Header.Get("Content-Encoding"))
		}
		if c, _ := codingNamed(res.Header.Get("Content-Encoding")); c != identity && parseAccept(accept)[c] == 0 {
			t.Fatalf("%q got %s", headers, c)
		}
	}
}

// A response that breaks off looks broken off to the client, in every way that
// a body can take.
func TestBreaksOff(t *testing.T) {
	gz := encode(gzip, text)
	for _, c := range []struct {
		name, accept, encoding string
		length                 int
		write                  func(w http.ResponseWriter)
	}{
		{"the handler panics", "gzip", "", -1, func(w http.ResponseWriter) {
			io.WriteString(w, text)
			panic(http.ErrAbortHandler)
		}},
		{"less than was said", "gzip", "", 20000, func(w http.ResponseWriter) { io.WriteString(w, text) }},
		{"more than was said", "zstd", "", 100, func(w http.ResponseWriter) {
			if _, err := io.WriteString(w, text); !errors.Is(err, http.ErrContentLength) {
				t.Errorf("more than was said: %v", err)
			}
		}},
		{"half a gzip stream", "identity", "gzip", -1, func(w http.ResponseWriter) { io.WriteString(w, gz[:len(gz)/2]) }},
		{"no gzip at all", "identity", "gzip", -1, func(w http.ResponseWriter) { io.WriteString(w, text) }},
		{"no Brotli at all", "identity", "br", -1, func(w http.ResponseWriter) { io.WriteString(w, text) }},
		{"the handler panics, decoded", "identity", "gzip", -1, func(w http.ResponseWriter) {
			io.WriteString(w, gz[:len(gz)/2])
			panic(http.ErrAbortHandler)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				if c.encoding != "" {
					w.Header().Set("Content-Encoding", c.encoding)
				}
				if c.length >= 0 {
					w.Header().Set("Content-Length", fmt.Sprint(c.length))
				}
				c.write(w)
			})
			if _, _, err := try(t, addr, "GET", "HTTP/1.1", "Accept-Encoding: "+c.accept+"\r\n"); err == nil {
				t.Error("the client takes it for whole")
			}
		})
	}
}

// A panic while something is decoded ends that response, not the server.
func TestPanicWhileDecoding(t *testing.T) {
	d := decode(gzip, &writer{ResponseWriter: panics{}, state: plain}, false)
	io.WriteString(d.in, encode(gzip, text))
	if err := d.end(); err == nil || !strings.HasPrefix(err.Error(), "panic: as told") {
		t.Errorf("%v", err)
	}
}

type panics struct{ http.ResponseWriter }

func (panics) Write([]byte) (int, error) { panic("as told") }

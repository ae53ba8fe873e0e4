package compress

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// A file is compressed once for each coding; then it is sent as it was kept,
// with its length.
func TestFileIsCompressedOnce(t *testing.T) {
	var made, asked atomic.Int32
	broken := atomic.Bool{}
	file := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "text/css")
		w.Header().Set("Etag", `"a"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		k := w.(interface {
			Kept(status int, digest string, size int64) bool
		})
		if r.Method == "GET" && k.Kept(200, "digest", int64(len(text))) {
			return
		}
		made.Add(1)
		if broken.Load() {
			io.WriteString(w, text[:1000])
			return
		}
		io.WriteString(w, text)
	}
	s := New(Options{})
	_, addr := serve(t, s, file)

	broken.Store(true)
	if _, _, err := try(t, addr, "GET", "HTTP/1.1", "Accept-Encoding: gzip\r\n"); err == nil {
		t.Error("half a file was taken for whole")
	}
	broken.Store(false)
	made.Store(0)
	for _, c := range []string{"gzip", "br", "zstd"} {
		for i := range 3 {
			res, body := ask(t, addr, "GET", "Accept-Encoding: "+c+"\r\n")
			if decoded(t, res, body) != text || res.Header.Get("Content-Encoding") != c || res.Header.Get("Etag") != `W/"a"` || res.Header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%s, time %d: %v", c, i, res.Header)
			}
			if i > 0 && res.ContentLength != int64(len(body)) {
				t.Errorf("%s, time %d: Content-Length %d", c, i, res.ContentLength)
			}
		}
	}
	if made.Load() != 3 {
		t.Errorf("the file was read %d times, want once for each coding", made.Load())
	}
	for _, other := range []string{"", "Accept-Encoding: gzip\r\nRange: bytes=0-9\r\n"} {
		if res, body := ask(t, addr, "GET", other); body != text || res.Header.Get("Etag") != `"a"` {
			t.Errorf("%q: %v", other, res.Header)
		}
	}
}

// What is kept, and what is being made to be kept, stays within its bound.
func TestKeptIsBounded(t *testing.T) {
	k := &kept{max: 100}
	put := func(digest string, room, size int) bool {
		b := k.begin(name{digest, gzip}, int64(room))
		if b == nil {
			return false
		}
		b.body = make([]byte, size)
		k.end(b)
		return true
	}
	has := func() string {
		var s []string
		for _, digest := range []string{"a", "b", "c", "d"} {
			if e, ok := k.bodies[name{digest, gzip}]; ok && e.Value.(*keptBody).whole {
				s = append(s, digest)
			}
		}
		return strings.Join(s, "")
	}
	if !put("a", 90, 30) || !put("b", 70, 30) || !put("c", 40, 30) || has() != "abc" || k.bytes != 90 {
		t.Fatalf("%s, %d bytes", has(), k.bytes)
	}
	k.find(name{"a", gzip})
	if !put("d", 30, 30) || has() != "acd" || k.bytes != 90 {
		t.Errorf("the one not used for longest did not go: %s, %d bytes", has(), k.bytes)
	}
	if put("e", 101, 1) {
		t.Error("something larger than the bound was kept")
	}
	making := k.begin(name{"f", gzip}, 100)
	if making == nil || has() != "" || k.begin(name{"f", gzip}, 1) != nil || put("g", 1, 1) {
		t.Error("what is in the making is not counted, or is made twice")
	}
	k.drop(making)
	if k.bytes != 0 || len(k.bodies) != 0 || k.used.Len() != 0 {
		t.Errorf("%d bytes, %d bodies left", k.bytes, len(k.bodies))
	}
}

// Without memory a response leaves as it is, and one that would have to be
// decoded is refused before anything of it was sent.
func TestMemory(t *testing.T) {
	encoded := encode(brotli, text)
	s := New(Options{Memory: total})
	_, addr := serve(t, s, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		if r.Header.Get("Encoded") == "" {
			io.WriteString(w, text)
			return
		}
		w.Header().Set("Content-Encoding", "br")
		w.Header().Set("Set-Cookie", "a=b")
		if _, err := io.WriteString(w, encoded); err != nil {
			t.Error(err)
		}
	})
	s.encoders.budget.take(total)
	s.decoders.take(total)
	if res, body := ask(t, addr, "GET", "Accept-Encoding: gzip\r\n"); body != text || res.Header.Get("Content-Encoding") != "" || res.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%v", res.Header)
	}
	res, body := ask(t, addr, "GET", "Encoded: 1\r\n")
	if res.StatusCode != 503 || !strings.HasPrefix(body, "The server cannot decode") || res.Header.Get("Set-Cookie") != "" || res.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %v %q", res.StatusCode, res.Header, body)
	}
	if res, body := ask(t, addr, "GET", "Encoded: 1\r\nAccept-Encoding: br\r\n"); body != encoded {
		t.Errorf("what needs no decoder: %d %v", res.StatusCode, res.Header)
	}
	s.encoders.budget.give(total)
	s.decoders.give(total)
	if res, body := ask(t, addr, "GET", "Encoded: 1\r\n"); body != text {
		t.Errorf("with memory again: %d %v", res.StatusCode, res.Header)
	}
}

// A Brotli stream of each window is charged for that window at least.
func TestDecoderMemory(t *testing.T) {
	for _, c := range []struct {
		first byte // RFC 7932, 9.1, the bits from the right
		bits  int
	}{{0b0, 16}, {0b0000001, 17}, {0b0011, 18}, {0b0101, 19}, {0b1011, 22}, {0b1111, 24}, {0b0100001, 10}, {0b1110001, 15}} {
		if got := decoderMemory(brotli, c.first); got>>uint(c.bits) == 0 || got > 1<<c.bits+1<<20 {
			t.Errorf("%07b: %d bytes for a window of 2^%d", c.first, got, c.bits)
		}
	}
	if first := encode(brotli, text)[0]; decoderMemory(brotli, first) > 1<<windowBits+1<<20 {
		t.Errorf("our own streams would be charged %d bytes", decoderMemory(brotli, first))
	}
}

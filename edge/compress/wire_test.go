package compress

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Trailers, early hints and clients of HTTP/1.0 get on with it.
func TestWire(t *testing.T) {
	_, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		if r.ProtoAtLeast(1, 1) {
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, text)
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-Late", "2")
	})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
	in := bufio.NewReader(c)
	hint, err := http.ReadResponse(in, nil)
	if err != nil || hint.StatusCode != http.StatusEarlyHints || hint.Header.Get("Content-Encoding") != "" {
		t.Fatalf("early hints: %v, %v", hint, err)
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || decoded(t, res, string(body)) != text || res.Header.Get("Content-Encoding") != "br" {
		t.Errorf("%v, %v", res.Header, err)
	}
	if res.Header.Get("X-Sum") != "" || res.Trailer.Get("X-Sum") != "1" || res.Trailer.Get("X-Late") != "2" {
		t.Errorf("header %v, trailer %v", res.Header, res.Trailer)
	}

	old, rest, err := try(t, addr, "GET", "HTTP/1.0", "Accept-Encoding: gzip\r\n")
	if err != nil || len(old.TransferEncoding) > 0 || old.Header.Get("Content-Encoding") != "gzip" || decoded(t, old, rest) != text {
		t.Errorf("HTTP/1.0: %v, %v", old, err)
	}
}

// Trailers come after a body that is decoded, too, and nobody else looks at the
// header when the handler sets them.
func TestTrailersOfDecoded(t *testing.T) {
	for _, accept := range []string{"identity", "zstd"} {
		_, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, encode(gzip, text))
			w.(http.Flusher).Flush()
			for i := range 100 {
				w.Header().Set(http.TrailerPrefix+"X-"+fmt.Sprint(i), "1")
			}
		})
		res, body := ask(t, addr, "GET", "Accept-Encoding: "+accept+"\r\n")
		if decoded(t, res, body) != text || len(res.Trailer) != 100 {
			t.Errorf("%s: %d trailers, %v", accept, len(res.Trailer), res.Header)
		}
	}
}

// To a client of HTTP/1.0 the end of the connection is the end of the body;
// what breaks off must not have the end of its coding.
func TestBreaksOffForOldClients(t *testing.T) {
	gz := encode(gzip, text)
	for _, encoding := range []string{"", "gzip"} {
		_, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			sent := text
			if encoding != "" {
				w.Header().Set("Content-Encoding", encoding)
				sent = gz
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(sent)))
			io.WriteString(w, sent[:len(sent)-20])
		})
		res, body, err := try(t, addr, "GET", "HTTP/1.0", "Accept-Encoding: br\r\n")
		if err != nil || res.Header.Get("Content-Encoding") != "br" {
			continue // it has not even begun
		}
		d, _ := newDecoder(brotli, strings.NewReader(body))
		if _, err := io.ReadAll(d); err == nil {
			t.Errorf("%q: the client takes it for whole", encoding)
		}
	}
}

// Over HTTP/2 it is the same.
func TestHTTP2(t *testing.T) {
	_, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		io.WriteString(w, text)
	})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{DisableCompression: true, Protocols: protocols}
	defer transport.CloseIdleConnections()
	for _, method := range []string{"GET", "HEAD"} {
		req, err := http.NewRequest(method, "http://"+addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "gzip")
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if res.ProtoMajor != 2 || res.Header.Get("Content-Encoding") != "gzip" || err != nil {
			t.Errorf("%s: %v, %v", method, res, err)
		}
		if method == "GET" && decoded(t, res, string(body)) != text {
			t.Errorf("GET: another body")
		}
	}
}

// An upgrade goes through as if nobody were there.
func TestUpgrade(t *testing.T) {
	_, addr := serve(t, New(Options{}), func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + text)
		rw.Flush()
	})
	res, body := ask(t, addr, "GET", "Upgrade: websocket\r\nConnection: Upgrade\r\nAccept-Encoding: gzip\r\n")
	if res.StatusCode != 101 || !bytes.HasPrefix([]byte(text), []byte(body)) {
		t.Errorf("%v %q", res, body)
	}
}

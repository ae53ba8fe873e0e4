package hop

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http/httpguts"
)

// script is an upstream that answers the nth request over all its connections
// with the nth answer, byte for byte; one that ends in "CLOSE" ends the
// connection. opened counts the connections.
func script(t *testing.T, answers ...string) (hop *Hop, opened *atomic.Int32) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	opened = new(atomic.Int32)
	var next atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			opened.Add(1)
			go func() {
				defer c.Close()
				for br := bufio.NewReader(c); ; {
					if _, err := http.ReadRequest(br); err != nil {
						return
					}
					answer, closes := strings.CutSuffix(answers[min(int(next.Add(1)), len(answers))-1], "CLOSE")
					io.WriteString(c, answer)
					if closes {
						return
					}
				}
			}()
		}
	}()
	hop = New(Options{Dial: unix(path), Single: true, MaxHeaderBytes: 8 << 10})
	t.Cleanup(hop.Close)
	return hop, opened
}

func ask(hop *Hop, method string) (res *httptest.ResponseRecorder, result Result, err error) {
	res = httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			err = p.(error)
		}
	}()
	result, err = hop.Forward(res, httptest.NewRequest(method, "http://example.com/", nil), Call{})
	return res, result, err
}

func TestDirectFraming(t *testing.T) {
	for _, c := range []struct {
		name, method, answer, body string
		reused                     bool // the connection serves the next request
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", true},
		{"chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n", "ok", true},
		{"to the end", "GET", "HTTP/1.1 200 OK\r\n\r\nokCLOSE", "ok", false},
		{"closing", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok", false},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false},
		{"more than the length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", "ok", false},
		{"HEAD with length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "", true},
		{"HEAD with chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", true},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", true},
		{"304 with length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "", true},
		{"no reason", "POST", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			hop, _ := script(t, c.answer)
			for i := range 2 {
				w, result, err := ask(hop, c.method)
				if err != nil || w.Body.String() != c.body || i == 1 && result.Reused != c.reused {
					t.Errorf("%d: body %q, reused %v, error %v", i, w.Body, result.Reused, err)
				}
			}
		})
	}
}

func TestDirectRefuses(t *testing.T) {
	for _, answer := range []string{
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 020 OK\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 9<<10) + "\r\n\r\n",
		strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 1000),
		"CLOSE", "HTTP/1.1 200 OK\r\nCLOSE",
	} {
		t.Run(fmt.Sprintf("%.60q", answer), func(t *testing.T) {
			hop, _ := script(t, answer+"CLOSE")
			w, _, err := ask(hop, "GET")
			if e, ok := err.(*Error); !ok || e.Kind != Broken {
				t.Errorf("status %d, error %v; want a broken connection", w.Code, err)
			}
		})
	}
}

func TestDirectBreaksOff(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nokCLOSE",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nCLOSE",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nCLOSE",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 7\r\n\r\n",
	} {
		t.Run(fmt.Sprintf("%.60q", answer[17:]), func(t *testing.T) {
			hop, opened := script(t, answer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			if _, _, err := ask(hop, "GET"); err != http.ErrAbortHandler {
				t.Errorf("error %v", err)
			}
			if _, result, err := ask(hop, "GET"); err != nil || result.Reused || opened.Load() != 2 {
				t.Errorf("the next: %+v, %v", result, err)
			}
		})
	}
}

// What an upstream says without having been asked is never taken for the
// answer to the next request.
func TestDirectUnasked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	more, said := make(chan bool), make(chan bool)
	go func() {
		for first := true; ; first = false {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			if first {
				<-more
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
				close(said)
			}
		}
	}()
	hop := New(Options{Dial: unix(path), Single: true})
	defer hop.Close()
	ask(hop, "GET")
	close(more)
	<-said
	if w, result, err := ask(hop, "GET"); err != nil || w.Body.String() != "ok" || result.Reused {
		t.Errorf("%q, %+v, %v", w.Body, result, err)
	}
}

// A request that may have been acted on is not sent twice.
func TestDirectSendsOnce(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for _, c := range []struct {
		method string
		want   bool
	}{{"GET", true}, {"DELETE", false}} {
		hop, _ := script(t, ok, "CLOSE", ok)
		ask(hop, c.method)
		if _, _, err := ask(hop, c.method); (err == nil) != c.want {
			t.Errorf("%s on a connection that ends: %v", c.method, err)
		}
	}
}

func TestDirectTimeouts(t *testing.T) {
	hop, _ := script(t, "", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
	hop.direct.headerTimeout = time.Millisecond
	_, _, err := ask(hop, "GET")
	if e, ok := err.(*Error); !ok || e.Kind != Timeout {
		t.Errorf("no header: %v", err)
	}
	hop.direct.headerTimeout = 0
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", "http://example.com/", nil)
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("canceled within the body: %v", p)
		}
	}()
	hop.Forward(httptest.NewRecorder(), r, Call{Inspect: func(*http.Response) error { cancel(); return nil }})
}

func TestDirectIdle(t *testing.T) {
	hop, opened := script(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	ask(hop, "GET")
	hop.direct.mu.Lock()
	hop.direct.idle[0].used = time.Now().Add(-time.Hour)
	hop.direct.mu.Unlock()
	hop.direct.closeOld()
	if _, result, err := ask(hop, "GET"); err != nil || result.Reused {
		t.Errorf("after the idle timeout: %+v, %v", result, err)
	}
	hop.Close()
	for range 2 {
		if _, result, err := ask(hop, "GET"); err != nil || result.Reused {
			t.Errorf("after Close: %+v, %v", result, err)
		}
	}
	if n := opened.Load(); n != 4 || len(hop.direct.idle) != 0 {
		t.Errorf("%d connections, %d idle", n, len(hop.direct.idle))
	}
}

// Whatever the short way takes for a response, net/http reads the same way.
func FuzzParseHead(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\na:  c \r\n\r\n", "GET")
	f.Add("HTTP/1.1 204\r\nTransfer-Encoding: chunked\r\nTrailer: X, Y\r\n\r\n", "HEAD")
	f.Add("HTTP/1.1 200 OK\r\nA:\nB: c\r\n\r\n", "GET")
	f.Add("HTTP/1.0 100 \n0\r\n\r\n", "GET")
	f.Add("HTTP/1.0 304 x\r\nConnection: close\r\n\r\n", "GET")
	f.Add("HTTP/1.1 200 OK\r\nConnection: close, x\r\n\r\n", "GET")
	f.Fuzz(func(t *testing.T, head, method string) {
		end := strings.Index(head, "\r\n\r\n")
		if end < 0 {
			return
		}
		head = head[:end+4]
		if method != "HEAD" {
			method = "GET"
		}
		r := &http.Request{Method: method}
		got, err := parseHead(head, r)
		if err != nil {
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head)), r)
		if err != nil {
			t.Fatalf("%q: taken, but: %v", head, err)
		}
		chunked := func(r *http.Response) bool { return len(r.TransferEncoding) > 0 }
		delete(got.Header, "Transfer-Encoding") // net/http takes it away, and Connection if it says close
		if got.ProtoMinor == 1 && httpguts.HeaderValuesContainsToken(got.Header["Connection"], "close") {
			delete(got.Header, "Connection")
		}
		if got.StatusCode != want.StatusCode || fmt.Sprint(got.Header) != fmt.Sprint(want.Header) || fmt.Sprint(got.Trailer) != fmt.Sprint(want.Trailer) {
			t.Errorf("%q: %+v, want %+v", head, got, want)
		}
		if bodyless := method == "HEAD" || got.StatusCode < 200 || got.StatusCode == 204 || got.StatusCode == 304; !bodyless &&
			(got.ContentLength != want.ContentLength || chunked(got) != chunked(want) || !got.Close && want.Close) {
			t.Errorf("%q: length %d, close %v; want %d, %v", head, got.ContentLength, got.Close, want.ContentLength, want.Close)
		}
	})
}

// inMemory is a body that its server has as a whole.
type inMemory struct{ *strings.Reader }

func (b inMemory) Close() error { return nil }
func (b inMemory) Held() []byte { return []byte("hello") }

// A body that is in memory goes the short way, once.
func TestDirectBody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	upstream := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got <- fmt.Sprint(r.Method, " ", r.ContentLength, r.TransferEncoding, string(body), err)
	})}
	go upstream.Serve(l)
	t.Cleanup(func() { upstream.Close() })
	hop := New(Options{Dial: unix(path), Single: true})
	t.Cleanup(hop.Close)
	hop.transport.DialContext = nil // whatever takes the other way fails
	for _, method := range []string{"POST", "PUT", "DELETE", "GET"} {
		r := httptest.NewRequest(method, "http://example.com/", inMemory{strings.NewReader("hello")})
		r.ContentLength = 5
		if _, err := hop.Forward(httptest.NewRecorder(), r, Call{}); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		if seen, want := <-got, method+" 5 []hello<nil>"; seen != want {
			t.Errorf("the upstream saw %s, want %s", seen, want)
		}
	}
}

// A request with a body is sent again only if nothing of it was sent before.
func TestDirectBodyIsSentOnce(t *testing.T) {
	hop, opened := script(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "CLOSE")
	if _, _, err := ask(hop, "GET"); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "http://example.com/", inMemory{strings.NewReader("hello")})
	r.ContentLength = 5
	_, err := hop.Forward(httptest.NewRecorder(), r, Call{})
	if e, ok := err.(*Error); !ok || e.Kind != Broken || opened.Load() != 1 {
		t.Errorf("%v after %d connections", err, opened.Load())
	}
}

// What was read of, or has no length, or is large, goes the other way.
func TestHeld(t *testing.T) {
	for _, c := range []struct {
		length int64
		body   io.ReadCloser
		held   bool
	}{
		{5, inMemory{}, true}, {4, inMemory{}, false}, {-1, inMemory{}, false}, {0, inMemory{}, false},
		{5, io.NopCloser(strings.NewReader("hello")), false}, {maxHeld + 1, inMemory{}, false}, {0, nil, false},
	} {
		if got := held(&http.Request{ContentLength: c.length, Body: c.body}); (got != nil) != c.held {
			t.Errorf("%d bytes, %T: %q", c.length, c.body, got)
		}
	}
}

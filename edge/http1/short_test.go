package http1

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

// startBoth serves at two addresses: with short, and with net/http alone.
func startBoth(t testing.TB, o Options) (withShort, without string) {
	t.Helper()
	v, addr := start(t, o, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := newListener(l, nil, v.places, o.Tolerant, func(c *plainConn, others func(net.Conn)) { others(c) })
	go v.http.Serve(n)
	t.Cleanup(func() { n.Close() })
	return addr, l.Addr().String()
}

var changing = regexp.MustCompile(`(?m)^(Date: .*|Cf-Ray: .*)\r\n|<code>[0-9a-f]{16}</code>|[0-9a-f]{16}`)

// exchangeAll sends data and returns all that is answered, without what differs
// from request to request.
func exchangeAll(t testing.TB, addr string, data []byte) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	conn.Write(data)
	conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	return string(changing.ReplaceAll(answer, nil))
}

// answers are handlers whose responses must not depend on who serves them.
var answers = map[string]func(w http.ResponseWriter, r *http.Request){
	"nothing":        func(http.ResponseWriter, *http.Request) {},
	"status":         func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) },
	"unknown status": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(799) },
	"small":          func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
	"html":           func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<!doctype html>") },
	"as much as is held back": func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte("x"), holdBack))
	},
	"more than is held back": func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte("x"), holdBack+1))
	},
	"much in pieces": func(w http.ResponseWriter, r *http.Request) {
		for range 30 {
			w.Write(bytes.Repeat([]byte("y"), 777))
		}
	},
	"flushed": func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "one")
		w.(http.Flusher).Flush()
		io.WriteString(w, "two")
	},
	"header flushed": func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush() },
	"with a length": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "hello")
	},
	"shorter than its length": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "9")
		io.WriteString(w, "hello")
	},
	"longer than its length": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		_, err := io.WriteString(w, "hello")
		if err == nil {
			panic("written")
		}
	},
	"no length at all": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "many")
		io.WriteString(w, "hello")
	},
	"negative length": func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "-1") },
	"204": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(204)
		if _, err := io.WriteString(w, "hello"); err == nil {
			panic("written")
		}
	},
	"304": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(304)
	},
	"two statuses": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201); w.WriteHeader(202) },
	"header too late": func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.Header().Set("X-Late", "1")
	},
	"informational": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(103)
		io.WriteString(w, "hello")
	},
	"no type": func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "hello")
	},
	"encoded": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "hello")
	},
	"no date": func(w http.ResponseWriter, r *http.Request) { w.Header()["Date"] = nil },
	"strange headers": func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Break"] = []string{"a\r\nX-Injected: b", " padded "}
		w.Header()["bad name"] = []string{"x"}
		w.Header()["x-lower"] = []string{"x"}
	},
	"close": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "hello")
	},
	"keep-alive": func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Connection", "keep-alive") },
	"identity": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Transfer-Encoding", "identity")
		io.WriteString(w, "hello")
	},
	"chunked": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Transfer-Encoding", "chunked")
		io.WriteString(w, "hello")
	},
	"chunked with a length": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Transfer-Encoding", "chunked")
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "hello")
	},
	"other coding": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Transfer-Encoding", "gzip")
		io.WriteString(w, "hello")
	},
	"trailers": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Never, Content-Length")
		io.WriteString(w, "hello")
		w.Header().Set("X-Sum", "1")
	},
	"trailers after all": func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
	},
	"trailers before": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
		io.WriteString(w, "hello")
	},
	"broken off": func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
		panic(http.ErrAbortHandler)
	},
	"broken off later": func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	},
	"hijacked": func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		rest, _ := io.ReadAll(io.LimitReader(rw, int64(rw.Reader.Buffered())))
		fmt.Fprintf(c, "I have it, and behind it %q", rest)
		if _, err := w.Write([]byte("x")); err != http.ErrHijacked {
			panic(err)
		}
	},
	"body read": func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		n, after := r.Body.Read(make([]byte, 1))
		fmt.Fprintf(w, "%q %v %d %v", body, err, n, after)
	},
	"body read in part": func(w http.ResponseWriter, r *http.Request) {
		n, err := r.Body.Read(make([]byte, 2))
		fmt.Fprint(w, n, err)
	},
	"body closed": func(w http.ResponseWriter, r *http.Request) {
		closed := r.Body.Close()
		if r.Body == http.NoBody {
			return
		}
		n, err := r.Body.Read(make([]byte, 2))
		fmt.Fprint(w, closed, n, err)
	},
	"body after the answer": func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.(http.Flusher).Flush()
		io.Copy(w, r.Body)
	},
	"deadlines": func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, rc.SetReadDeadline(time.Now().Add(time.Hour)), rc.SetWriteDeadline(time.Now().Add(time.Hour)), rc.EnableFullDuplex())
	},
}

// sendFile answers with n bytes of a file, of which the header says length.
func sendFile(w http.ResponseWriter, length, contentType string, n int64) {
	f, err := os.Open("wire.go")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	for name, value := range map[string]string{"Content-Length": length, "Content-Type": contentType} {
		if value != "" {
			w.Header().Set(name, value)
		}
	}
	io.Copy(w, &io.LimitedReader{R: f, N: n})
}

func init() {
	maps.Copy(answers, map[string]func(w http.ResponseWriter, r *http.Request){
		"file":            func(w http.ResponseWriter, r *http.Request) { sendFile(w, "5000", "text/plain", 5000) },
		"small file":      func(w http.ResponseWriter, r *http.Request) { sendFile(w, "50", "text/plain", 50) },
		"file of no type": func(w http.ResponseWriter, r *http.Request) { sendFile(w, "5000", "", 5000) },
		"file cut off":    func(w http.ResponseWriter, r *http.Request) { sendFile(w, "1000000", "text/plain", 1000000) },
		"file too long":   func(w http.ResponseWriter, r *http.Request) { sendFile(w, "100", "text/plain", 5000) },
		"file that is not new": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotModified)
			sendFile(w, "5000", "text/plain", 5000)
		},
		"file behind more": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5005")
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, "hello")
			sendFile(w, "", "", 5000)
		},
	})
}

func TestShortIsLikeNetHTTP(t *testing.T) {
	names := slices.Sorted(maps.Keys(answers))
	one, two := startBoth(t, options(func(w http.ResponseWriter, r *http.Request) error {
		var i int
		fmt.Sscanf(r.URL.Path, "/%d", &i)
		answers[names[i]](w, r)
		return nil
	}))
	small := slices.Index(names, "small")
	for i, name := range names {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			for _, body := range []string{"\r\n", "Content-Length: 0\r\n\r\n", "Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n3\r\nbod\r\n1\r\ny\r\n0\r\n\r\n"} {
				if name == "hijacked" && strings.Contains(body, "bod") {
					continue // who takes a connection over has read its body, or there is none
				}
				request := fmt.Appendf(nil, "%s /%d HTTP/1.1\r\n%s%sGET /%d HTTP/1.1\r\n%s\r\n", method, i, okHost, body, small, okHost)
				got, want := exchangeAll(t, one, request), exchangeAll(t, two, request)
				if got != want {
					t.Errorf("%s %s with %q:\n%q\nfrom net/http:\n%q", method, name, body, got, want)
				}
			}
		}
	}
}

// describe answers with all that a handler can see of its request.
func describe(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s %q %q %d %v %v %q %q\n", r.Method, r.RequestURI, r.Proto, r.Host, r.URL, r.ContentLength, r.TransferEncoding, r.Close, body, r.Trailer)
	if err != nil {
		fmt.Fprintln(w, err)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if name != "Cf-Ray" {
			fmt.Fprintf(w, "%s: %q\n", name, r.Header[name])
		}
	}
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	_, addr := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	_, _, err = net.SplitHostPort(r.RemoteAddr)
	_, err2 := fmt.Fprintln(w, server != nil, addr, err, r.TLS)
	return err2
}

// FuzzShort sends any bytes to a server with short and to one without, strict and
// tolerant: what the handlers see and what the client gets is the same.
func FuzzShort(f *testing.F) {
	get := "GET /a?b=c HTTP/1.1\r\n" + okHost + "Accept: */*\r\n\r\n"
	for _, r := range refused {
		f.Add([]byte(r))
		f.Add([]byte(get + r))
	}
	for _, r := range []string{
		get, get + get, get + "\r\n" + get, get + "GET", get + "x",
		"HEAD / HTTP/1.1\r\n" + okHost + "Connection: Keep-Alive\r\n\r\n" + get,
		"GET / HTTP/1.1\r\n" + okHost + "Connection: close\r\n\r\n" + get,
		"GET / HTTP/1.1\r\n" + okHost + "Connection: keep-alive, X-A\r\nX-A: 1\r\n\r\n" + get,
		"GET / HTTP/1.1\r\n" + okHost + "cOnNeCtIoN: X-A\r\nX-A: 1\r\nPragma: no-cache\r\n\r\n" + get,
		"GET / HTTP/1.1\r\n" + okHost + "Expect: 100-continue\r\n\r\n" + get,
		"GET / HTTP/1.1\r\n" + okHost + "Expect: more\r\n\r\n" + get,
		"GET / HTTP/1.1\r\n" + okHost + "Content-Length: 3\r\n\r\nabc" + get,
		"GET / HTTP/1.1\r\n" + okHost + "Content-Length: 0\r\n\r\n" + get,
		"GET / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n" + get,
		"GET / HTTP/1.1\r\n" + okHost + "Trailer: X-T\r\nTe: trailers\r\n\r\n" + get,
		"GET / HTTP/1.1\r\n" + okHost + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n" + get,
		"POST / HTTP/1.1\r\n" + okHost + "Content-Length: 3\r\n\r\nabc" + get,
		"POST / HTTP/1.1\r\n" + okHost + "Content-Length: 4\r\n\r\nabc", "POST / HTTP/1.1\r\n" + okHost + "Content-Length: 3\r\n\r\nabcd" + get,
		"POST / HTTP/1.1\r\n" + okHost + "Content-Length: 03\r\n\r\nabc" + get, "PUT / HTTP/1.1\r\n" + okHost + "Content-Length: \t3 \r\n\r\nabc" + get,
		"POST / HTTP/1.1\r\n" + okHost + "Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc" + get,
		"PATCH / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: Chunked\r\n\r\n1;x=y\r\na\r\n02\r\nbc\r\n0\r\n\r\n" + get,
		"POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get, "POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
		"POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n" + get,
		"POST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nPOST / HTTP/1.1\r\n" + okHost + "Transfer-Encoding: chunked\r\n\r\n1\r\na",
		"DELETE / HTTP/1.1\r\n" + okHost + "\r\n" + get, "OPTIONS / HTTP/1.1\r\n" + okHost + "\r\n" + get, "MERGE / HTTP/1.1\r\n" + okHost + "\r\n" + get,
		"GET / HTTP/1.0\r\n" + okHost + "\r\n" + get, "OPTIONS * HTTP/1.1\r\n" + okHost + "\r\n" + get,
		"GET http://a.example/x HTTP/1.1\r\n" + okHost + "\r\n" + get, "GET //b/c HTTP/1.1\r\n" + okHost + "\r\n" + get,
		"GET /%zz HTTP/1.1\r\n" + okHost + "\r\n" + get, "GET /%2f?%zz HTTP/1.1\r\n" + okHost + "\r\n" + get,
		"GET /\xff HTTP/1.1\r\n" + okHost + "X: \xff\r\n\r\n" + get, "GET / HTTP/1.1\r\n" + okHost + "X:\r\nX: \t1\t \r\n\r\n" + get,
		"GET /% HTTP/1.1\r\n" + okHost + "\r\n" + get + "GET /%e?% HTTP/1.1\r\n" + okHost + "\r\n", "GET /" + strings.Repeat("%", 600) + " HTTP/1.1\r\n" + okHost + "\r\n" + get,
		get + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		f.Add([]byte(r))
	}
	one, two := startBoth(f, options(describe))
	tolerant := options(describe)
	tolerant.Tolerant = true
	three, four := startBoth(f, tolerant)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2<<10 || bytes.HasPrefix(data, []byte("PRI ")) { // how far HTTP/2 gets before the end is chance
			return
		}
		if got, want := exchangeAll(t, one, data), exchangeAll(t, two, data); got != want {
			t.Fatalf("%q is answered\n%q\nand by net/http\n%q", data, got, want)
		}
		if got, want := exchangeAll(t, three, data), exchangeAll(t, four, data); got != want {
			t.Fatalf("%q is answered with tolerance\n%q\nand by net/http\n%q", data, got, want)
		}
	})
}

// pipes is a listener without a network: what is written to a pipe is read in
// the same pieces.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	if c, ok := <-p.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.conns) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// Wherever requests are cut, and whoever reads on from there, they are
// answered alike.
func TestShortInPieces(t *testing.T) {
	v := New(options(describe))
	l := &pipes{conns: make(chan net.Conn)}
	served := make(chan error)
	go func() { served <- v.Serve(t.Context(), l, nil) }()
	requests := "GET /one%?a HTTP/1.1\r\n" + okHost + "Accept: */*\r\n\r\nHEAD /two HTTP/1.1\r\n" + okHost + "\r\n" +
		"POST /three HTTP/1.1\r\n" + okHost + "Content-Length: 2\r\n\r\nab" + "PUT /chunks HTTP/1.1\r\n" + okHost + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" + "GET /four HTTP/1.1\r\n" + okHost + "Connection: close\r\n\r\n"
	answer := func(pieces ...string) string {
		client, server := net.Pipe()
		defer client.Close()
		client.SetDeadline(time.Now().Add(10 * time.Second))
		l.conns <- server
		go func() {
			for _, p := range pieces {
				io.WriteString(client, p)
			}
		}()
		text, err := io.ReadAll(client)
		if err != nil {
			t.Fatalf("%q: %v", pieces, err)
		}
		return string(changing.ReplaceAll(text, nil))
	}
	want := answer(requests)
	if n := strings.Count(want, "HTTP/1.1 200 OK"); n != 5 {
		t.Fatalf("%d answers: %s", n, want)
	}
	for i := range requests {
		if got := answer(requests[:i], requests[i:]); got != want {
			t.Errorf("cut at %q:\n%q\n%q", requests[:i], got, want)
		}
	}
	if err := v.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestShortNoticesThatTheClientLeft(t *testing.T) {
	begun, over := make(chan bool), make(chan error)
	_, addr := start(t, options(func(w http.ResponseWriter, r *http.Request) error {
		begun <- true
		<-r.Context().Done()
		over <- r.Context().Err()
		return r.Context().Err()
	}), nil)
	conn, _ := dial(t, addr)
	io.WriteString(conn, "GET / HTTP/1.1\r\n"+okHost+"\r\n")
	<-begun
	conn.Close()
	if err := <-over; err != context.Canceled {
		t.Error(err)
	}
}

// The context of a request ends with its handler, for what the handler started.
func TestShortContextEndsWithTheHandler(t *testing.T) {
	contexts := make(chan context.Context, 1)
	_, addr := start(t, options(func(w http.ResponseWriter, r *http.Request) error {
		contexts <- r.Context()
		return nil
	}), nil)
	conn, br := dial(t, addr)
	for range 2 {
		io.WriteString(conn, "GET / HTTP/1.1\r\n"+okHost+"\r\n")
		if _, err := http.ReadResponse(br, nil); err != nil {
			t.Fatal(err)
		}
		<-(<-contexts).Done()
	}
}

// What the watch has read belongs to the next request.
func TestShortWatchLosesNothing(t *testing.T) {
	release := make(chan bool)
	v, addr := start(t, options(func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Path == "/slow" {
			<-release
			if r.Context().Err() != nil {
				t.Error("the context has ended")
			}
		}
		return describe(w, r)
	}), nil)
	conn, br := dial(t, addr)
	io.WriteString(conn, "GET /slow HTTP/1.1\r\n"+okHost+"\r\nGET /second HTTP/1.1\r\n"+okHost+"\r\n")
	poll.Until(t, "the watch begins", func() bool { return watched(v, func(s *short) bool { return s.watching }) })
	io.WriteString(conn, "POST /next HTTP/1.1\r\n"+okHost+"Content-Length: 4\r\n\r\nbody")
	poll.Until(t, "the watch reads a byte", func() bool { return watched(v, func(s *short) bool { return len(s.early) > 0 }) })
	close(release)
	for _, want := range []string{"GET /slow", "GET /second", `POST /next HTTP/1.1 "a.example" "/next" 4 [] false "body"`} {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(res.Body); !strings.HasPrefix(string(body), want) {
			t.Errorf("%s: %s", want, body)
		}
	}
}

// watched reports whether f is true of a connection.
func watched(v *Server, f func(*short) bool) bool {
	v.shorts.mu.Lock()
	defer v.shorts.mu.Unlock()
	for s := range v.shorts.all {
		s.mu.Lock()
		yes := f(s)
		s.mu.Unlock()
		if yes {
			return true
		}
	}
	return false
}

// Requests that last as long as it takes the watch to begin, so that it begins
// and ends at every moment of a request.
func TestShortWatchComesAndGoes(t *testing.T) {
	_, addr := start(t, options(func(w http.ResponseWriter, r *http.Request) error {
		time.Sleep(watchAfter)
		return r.Context().Err()
	}), nil)
	var wg sync.WaitGroup
	for range 16 {
		conn, br := dial(t, addr)
		wg.Go(func() {
			for range 5 {
				io.WriteString(conn, "GET / HTTP/1.1\r\n"+okHost+"\r\n")
				if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 200 {
					t.Error(res, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestShortGoexit(t *testing.T) {
	_, addr := start(t, options(func(w http.ResponseWriter, r *http.Request) error {
		runtime.Goexit()
		return nil
	}), nil)
	_, br := dialAndSend(t, addr, "GET / HTTP/1.1\r\n"+okHost+"\r\n")
	if rest, err := io.ReadAll(br); len(rest) > 0 || err != nil {
		t.Errorf("%q %v", rest, err)
	}
}

func dialAndSend(t testing.TB, addr, request string) (net.Conn, io.Reader) {
	t.Helper()
	conn, br := dial(t, addr)
	io.WriteString(conn, request)
	return conn, br
}

// A request may end while the server shuts down, and says that it was the last;
// connections that wait are closed.
func TestShortShutdown(t *testing.T) {
	begun, release := make(chan bool), make(chan bool)
	v := New(options(func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Path == "/slow" {
			begun <- true
			<-release
		}
		return nil
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go v.Serve(t.Context(), l, nil)
	addr := l.Addr().String()
	idle, idleReader := dial(t, addr)
	io.WriteString(idle, "GET / HTTP/1.1\r\n"+okHost+"\r\n")
	http.ReadResponse(idleReader, nil)
	_, fresh := dial(t, addr)
	busy, busyReader := dial(t, addr)
	io.WriteString(busy, "GET /slow HTTP/1.1\r\n"+okHost+"\r\n")
	<-begun
	done := make(chan error)
	go func() { done <- v.Shutdown(t.Context()) }()
	for _, r := range []io.Reader{idleReader, fresh} {
		if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
			t.Errorf("%q %v", rest, err)
		}
	}
	close(release)
	if res, err := http.ReadResponse(busyReader, nil); err != nil || !res.Close {
		t.Errorf("%v %v", res, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What does not end in time is cut off.
func TestShortShutdownInTime(t *testing.T) {
	begun := make(chan bool)
	v := New(options(func(w http.ResponseWriter, r *http.Request) error {
		begun <- true
		<-r.Context().Done()
		return r.Context().Err()
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go v.Serve(t.Context(), l, nil)
	_, br := dialAndSend(t, l.Addr().String(), "GET / HTTP/1.1\r\n"+okHost+"\r\n")
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := v.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Error(err)
	}
	io.Copy(io.Discard, br) // ends
}

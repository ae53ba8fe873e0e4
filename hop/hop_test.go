package hop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/hop/target"
)

// upstream serves h on a unix socket, as a cell does, and returns a Hop to it.
func upstream(t testing.TB, h http.Handler) *Hop {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	hop := New(Options{Dial: unix(path), Single: true})
	t.Cleanup(hop.Close)
	return hop
}

func unix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// front is a server that forwards everything by hop; errors become 502 with
// the kind as body.
func front(t testing.TB, hop *Hop, c Call) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := hop.Forward(w, r, c); err != nil {
			msg := err.Error()
			if e := (*Error)(nil); errors.As(err, &e) {
				msg = e.Kind.String()
			}
			http.Error(w, msg, http.StatusBadGateway)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

func raw(t *testing.T, srv *httptest.Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c, bufio.NewReader(c)
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHeadersThatArrive(t *testing.T) {
	var got http.Header
	var host, target string
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, host, target = r.Header, r.Host, r.RequestURI
		w.Header()["Connection"] = []string{"X-Own"}
		w.Header().Set("X-Own", "1")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("X-End", "2")
		w.Header()["Content-Type"] = nil
		w.Write([]byte("<html>"))
	}))
	srv := front(t, hop, Call{Set: func(h http.Header) { h.Set("X-Set", "by us") }})
	c, br := raw(t, srv)
	fmt.Fprint(c, "GET /a%2Fb/\"c%2Fd?x=%zz& HTTP/1.1\r\nHost: example.com\r\nConnection: X-Drop, X-Set\r\nX-Drop: 1\r\n"+
		"X-Set: by client\r\nTE: trailers, gzip\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX-Two: a\r\nX-Two: b\r\n\r\n")
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b := text(t, res); b != "<html>" {
		t.Errorf("body %q", b)
	}
	if host != "example.com" || target != `/a%2Fb/"c%2Fd?x=%zz&` {
		t.Errorf("host %q, target %q", host, target)
	}
	want := http.Header{"X-Set": {"by us"}, "Te": {"trailers"}, "X-Two": {"a", "b"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("request header %v, want %v", got, want)
	}
	res.Header.Del("Date")
	wantRes := http.Header{"X-End": {"2"}, "Content-Length": {"6"}}
	if fmt.Sprint(res.Header) != fmt.Sprint(wantRes) {
		t.Errorf("response header %v, want %v", res.Header, wantRes)
	}
}

func TestStatusesWithoutBody(t *testing.T) {
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.Header().Set("ETag", `"x"`)
			w.WriteHeader(304)
		case "/head":
			w.Header().Set("Content-Length", "1234")
		}
	}))
	srv := front(t, hop, Call{})
	for _, c := range []struct {
		method, path string
		status       int
		length       string
	}{{"GET", "/204", 204, ""}, {"GET", "/304", 304, ""}, {"HEAD", "/head", 200, "1234"}} {
		req, _ := http.NewRequest(c.method, srv.URL+c.path, nil)
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if b := text(t, res); res.StatusCode != c.status || res.Header.Get("Content-Length") != c.length || b != "" {
			t.Errorf("%s %s: %d, length %q, body %q", c.method, c.path, res.StatusCode, res.Header.Get("Content-Length"), b)
		}
	}
}

// The upstream echoes each line while the request's body is open.
func TestStreamsBothWays(t *testing.T) {
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		rc.Flush()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); rc.Flush() {
			fmt.Fprintln(w, "echo", lines.Text())
		}
	}))
	srv := front(t, hop, Call{})
	pr, pw := io.Pipe()
	res, err := srv.Client().Post(srv.URL, "text/plain", pr)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		fmt.Fprintln(pw, i)
		if !lines.Scan() || lines.Text() != fmt.Sprint("echo ", i) {
			t.Fatalf("line %d: %q", i, lines.Text())
		}
	}
	pw.Close()
	if lines.Scan() {
		t.Errorf("more: %q", lines.Text())
	}
	res.Body.Close()
}

func TestEarlyAnswerEndsTheConnection(t *testing.T) {
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		http.Error(w, "no", http.StatusForbidden)
	}))
	srv := front(t, hop, Call{})
	c, br := raw(t, srv)
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text(t, res) != "no\n" || res.StatusCode != 403 || !res.Close {
		t.Errorf("status %d, close %v", res.StatusCode, res.Close)
	}
	fmt.Fprint(c, "XX\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n") // broken body, then a request
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Errorf("answered what follows: %q", rest)
	}
}

func TestTrailersBothWays(t *testing.T) {
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "late")
	}))
	srv := front(t, hop, Call{})
	req, _ := http.NewRequest("POST", srv.URL, io.MultiReader(strings.NewReader("data")))
	req.Trailer = http.Header{"X-Sum": {"4"}}
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if b := text(t, res); b != "data" || res.Trailer.Get("X-Sum") != "4" || res.Trailer.Get("X-Late") != "late" {
		t.Errorf("body %q, trailer %v", b, res.Trailer)
	}
}

func TestEarlyHints(t *testing.T) {
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		w.Header().Del("Link")
		w.Write([]byte("ok"))
	}))
	srv := front(t, hop, Call{})
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, h.Get("Link")))
			return nil
		}})
	req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL, nil)
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if b := text(t, res); b != "ok" || res.Header.Get("Link") != "" || !slices.Equal(hints, []string{"103</a.css>; rel=preload"}) {
		t.Errorf("body %q, link %q, hints %q", b, res.Header.Get("Link"), hints)
	}
}

func TestExpectContinue(t *testing.T) {
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	c, br := raw(t, front(t, hop, Call{}))
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	if line, _ := br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("first line %q", line)
	}
	br.ReadString('\n')
	fmt.Fprint(c, "hi")
	res, err := http.ReadResponse(br, nil)
	if err != nil || text(t, res) != "hi" {
		t.Fatal(res, err)
	}
}

func TestUpgrade(t *testing.T) {
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-Websocket-Accept: x\r\n\r\nfirst ", r.Header.Get("Upgrade"))
		rw.Flush()
		all, _ := io.ReadAll(rw) // until the client has closed its half
		fmt.Fprintf(c, "got %q", all)
	}))
	c, br := raw(t, front(t, hop, Call{}))
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\nearly ")
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Sec-Websocket-Accept") != "x" || res.Header.Get("Upgrade") != "websocket" {
		t.Fatal(res, err)
	}
	fmt.Fprint(c, "late")
	c.(*net.TCPConn).CloseWrite()
	if all, err := io.ReadAll(br); string(all) != `first got "early late"` {
		t.Errorf("%q, %v", all, err)
	}
}

func TestClientLeaving(t *testing.T) {
	started, left := make(chan bool), make(chan bool)
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		close(left)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	srv := front(t, hop, Call{})
	req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL, nil)
	go srv.Client().Do(req)
	<-started
	cancel()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Fatal("the upstream never heard of it")
	}
}

func TestErrors(t *testing.T) {
	hang := func(t *testing.T, answer string) *Hop {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					http.ReadRequest(bufio.NewReader(c))
					io.WriteString(c, answer)
					c.Close()
				}()
			}
		}()
		return New(Options{Dial: unix(l.Addr().String()), Single: true})
	}
	for _, c := range []struct {
		name, request string
		hop           *Hop
		want          string
	}{
		{"no listener", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", New(Options{Dial: unix("/nonexistent"), Single: true}), "dial"},
		{"closed at once", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", hang(t, ""), "broken connection"},
		{"not HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", hang(t, "220 mail\r\n"), "broken connection"},
		{"unasked 101", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", hang(t, "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), "broken connection"},
		{"client's chunk is broken", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })), "client body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, br := raw(t, front(t, c.hop, Call{}))
			io.WriteString(conn, c.request)
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b := strings.TrimSpace(text(t, res)); b != c.want {
				t.Errorf("%q, want %q", b, c.want)
			}
		})
	}
}

// A response that breaks off must not look whole to the client.
func TestBrokenOffResponse(t *testing.T) {
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("part"))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	srv := front(t, hop, Call{})
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); string(b) != "part" || err != io.ErrUnexpectedEOF {
		t.Errorf("%q, %v", b, err)
	}
}

func TestInspect(t *testing.T) {
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "bare", 500) }))
	srv := front(t, hop, Call{Inspect: func(res *http.Response) error {
		if res.StatusCode == 500 {
			return errors.New("it threw")
		}
		return nil
	}})
	res, err := srv.Client().Get(srv.URL)
	if err != nil || text(t, res) != "it threw\n" || res.StatusCode != 502 {
		t.Fatal(res, err)
	}
}

// The upstream closes the connection after each response, without saying so.
func TestIdleConnectionClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				http.ReadRequest(bufio.NewReader(c))
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				c.Close()
			}()
		}
	}()
	srv := front(t, New(Options{Dial: unix(path), Single: true}), Call{})
	for range 50 {
		res, err := srv.Client().Get(srv.URL)
		if err != nil || res.StatusCode != 200 || text(t, res) != "ok" {
			t.Fatal(res, err)
		}
	}
}

// HTTP/2 can carry what would end the target in HTTP/1's request line.
func TestSpacesInTheTarget(t *testing.T) {
	var got string
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.RequestURI }))
	r := httptest.NewRequest("GET", "/", nil)
	r.URL = &url.URL{Path: "/a b", RawPath: `/a b`, RawQuery: "x y"}
	if _, err := hop.Forward(httptest.NewRecorder(), r, Call{}); err != nil || got != "/a%20b?x%20y" {
		t.Errorf("%q, %v", got, err)
	}
}

// A target goes to the upstream as it is written, whatever package url thinks
// of it, on both ways.
func TestTargetsAsWritten(t *testing.T) {
	got := make(chan string, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			got <- strings.TrimSpace(line)
			io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			c.Close()
		}
	}()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	for _, single := range []bool{true, false} {
		h := New(Options{Dial: dial, Single: single})
		defer h.Close()
		for raw, want := range map[string]string{
			"/sale-100%": "/sale-100%", "/%zz?%zz": "/%zz?%zz", "/a%2Fb%": "/a%2Fb%", "//x/y": "//x/y", "/a b?c d": "/a%20b?c%20d", "/?": "/?", "*": "*",
			"//x/%": map[bool]string{true: "//x/%", false: "http://cell//x/%"}[single], // absolute form, which says the same
		} {
			r := httptest.NewRequest("OPTIONS", "/", nil)
			r.URL = target.Parse(raw)
			if _, err := h.Forward(httptest.NewRecorder(), r, Call{}); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			if line := <-got; line != "OPTIONS "+want+" HTTP/1.1" {
				t.Errorf("single %v, %s: %q", single, raw, line)
			}
		}
	}
}

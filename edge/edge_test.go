package edge

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge/http1"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/telemetry"
)

var quiet = slog.New(slog.DiscardHandler)

// start serves an edge whose default Worker is answered by target.
func start(t testing.TB, o Options, config *tls.Config, target func(w http.ResponseWriter, r *http.Request) error) (*Edge, string) {
	t.Helper()
	if o.Source == nil {
		o.Source = fallback()
	}
	if o.Target == nil {
		o.Target = func(w http.ResponseWriter, r *http.Request, _, _ string) error { return target(w, r) }
	}
	if o.Logger == nil {
		o.Logger = quiet
	}
	e := New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- e.Serve(context.Background(), l, config) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return e, l.Addr().String()
}

func fallback() config.Source {
	v := new(config.Value)
	v.Set(&config.Snapshot{Default: "default", Workers: map[string]*config.Worker{"default": {Name: "default"}}})
	return v
}

func dial(t testing.TB, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

func ask(t testing.TB, addr, request string) (*http.Response, string) {
	t.Helper()
	c, br := dial(t, addr)
	io.WriteString(c, request)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestHeadersOfARequest(t *testing.T) {
	const spoofed = "CF-Connecting-IP: 6.6.6.6\r\nCF-Ray: x\r\nCF-IPCountry: XX\r\nCF-Worker: a\r\nCf-Ew-Via: 9\r\nTrue-Client-IP: 6.6.6.6\r\n" +
		"Selvage-Capability: guess\r\nSelvage-Cf: {}\r\nselvage-proto: https\r\nCF-Access-Client-Id: id\r\n" +
		"Connection: CF-Connecting-IP, X-Gone\r\nX-Gone: 1\r\nX-Forwarded-Proto: https\r\n"
	for _, c := range []struct {
		name, trusted, header string
		ip, forwarded, scheme string
	}{
		{"direct", "", "", "127.0.0.1", "127.0.0.1", "http"},
		{"nobody is trusted", "", "X-Forwarded-For: 6.6.6.6\r\n", "127.0.0.1", "127.0.0.1", "http"},
		{"behind a proxy", "127.0.0.1/32", "X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4", "1.2.3.4, 127.0.0.1", "https"},
		{"the client forged a first entry", "127.0.0.1/32", "X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\n", "1.2.3.4", "9.9.9.9, 1.2.3.4, 127.0.0.1", "https"},
		{"two proxies", "127.0.0.0/8", "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 127.0.0.9\r\n", "1.2.3.4", "1.2.3.4, 127.0.0.9, 127.0.0.1", "https"},
		{"not an address", "127.0.0.0/8", "X-Forwarded-For: 1.2.3.4, unknown\r\n", "127.0.0.1", "1.2.3.4, unknown, 127.0.0.1", "https"},
		{"IPv4 in IPv6", "127.0.0.0/8", "X-Forwarded-For: ::ffff:1.2.3.4\r\n", "1.2.3.4", "::ffff:1.2.3.4, 127.0.0.1", "https"},
		{"a proxy that sends CF-Connecting-IP only", "127.0.0.0/8", "", "6.6.6.6", "127.0.0.1", "https"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var o Options
			if c.trusted != "" {
				o.Trusted = []netip.Prefix{netip.MustParsePrefix(c.trusted)}
			}
			var got http.Header
			var record telemetry.Request
			_, addr := start(t, o, nil, func(w http.ResponseWriter, r *http.Request) error {
				got, record = r.Header, *telemetry.RequestFrom(r.Context())
				return nil
			})
			res, _ := ask(t, addr, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n"+c.header+spoofed+"\r\n")
			ray := record.Ray + "-LOC"
			want := http.Header{
				"Cf-Connecting-Ip": {c.ip}, "X-Real-Ip": {c.ip}, "X-Forwarded-For": {c.forwarded}, "X-Forwarded-Proto": {c.scheme},
				"Cf-Ray": {ray}, "Cf-Visitor": {`{"scheme":"` + c.scheme + `"}`}, "Accept-Encoding": {"br"}, "Cf-Access-Client-Id": {"id"},
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("header\n%v, want\n%v", got, want)
			}
			if res.Header.Get("CF-Ray") != ray || len(record.Ray) != 16 || record.ClientIP.String() != c.ip || record.Scheme != c.scheme {
				t.Errorf("response ray %q, record %q %v %v", res.Header.Get("CF-Ray"), record.Ray, record.ClientIP, record.Scheme)
			}
			var cf map[string]any
			if err := json.Unmarshal(record.CF, &cf); err != nil || cf["colo"] != "LOC" || cf["httpProtocol"] != "HTTP/1.1" || cf["clientAcceptEncoding"] != "br" {
				t.Errorf("cf %s, %v", record.CF, err)
			}
		})
	}
}

func TestErrorPages(t *testing.T) {
	thrown := fault.ThrewException.With("It <threw>.", errors.New("secret cause"))
	thrown.Hint = "look at the <log>"
	for _, c := range []struct {
		name, accept string
		dev          bool
		err          error
		status       int
		typ          string
		has, hasNot  []string
	}{
		{"html", "text/html,*/*", false, thrown, 500, "text/html; charset=utf-8", []string{"1101", "Worker threw exception", "It &lt;threw&gt;.", "Ray ID"}, []string{"secret", "look at"}},
		{"html in dev", "text/html", true, thrown, 500, "text/html; charset=utf-8", []string{"secret cause", "look at the &lt;log&gt;"}, nil},
		{"json", "application/json", false, thrown, 500, "application/json", []string{`"error_code":1101`, `"ray_id":"`, `"status":500`}, []string{"secret", "hint"}},
		{"text", "*/*", false, thrown, 500, "text/plain; charset=utf-8", []string{"error code: 1101\n"}, []string{"secret"}},
		{"wrapped", "", false, fmt.Errorf("more: %w", fault.OriginDown), 521, "text/plain; charset=utf-8", []string{"error code: 521"}, nil},
		{"any error", "", false, errors.New("secret"), 500, "text/plain; charset=utf-8", []string{"Internal error"}, []string{"secret"}},
		{"a body that stalls", "", false, &hop.Error{Kind: hop.Client, Err: http1.ErrStalled}, 408, "text/plain; charset=utf-8", []string{"did not come"}, nil},
		{"too large", "", false, &hop.Error{Kind: hop.Client, Err: &http.MaxBytesError{Limit: 5}}, 413, "text/plain; charset=utf-8", []string{"5 bytes"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var logs bytes.Buffer
			_, addr := start(t, Options{Dev: c.dev, Logger: slog.New(slog.NewTextHandler(&logs, nil))}, nil, func(w http.ResponseWriter, r *http.Request) error {
				w.Header().Set("Content-Encoding", "gzip")
				return c.err
			})
			res, body := ask(t, addr, "GET / HTTP/1.1\r\nHost: a\r\nAccept: "+c.accept+"\r\n\r\n")
			if res.StatusCode != c.status || res.Header.Get("Content-Type") != c.typ || res.Header.Get("Content-Encoding") != "" {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
			for _, s := range c.has {
				if !strings.Contains(body, s) {
					t.Errorf("no %q in %s", s, body)
				}
			}
			for _, s := range c.hasNot {
				if strings.Contains(body, s) {
					t.Errorf("%q in %s", s, body)
				}
			}
			if n := strings.Count(logs.String(), "request failed"); c.status >= 500 && n != 1 {
				t.Errorf("logged %d times: %s", n, &logs)
			}
		})
	}
}

func TestUnknownHost(t *testing.T) {
	_, addr := start(t, Options{Source: new(config.Value)}, nil, nil)
	res, body := ask(t, addr, "GET / HTTP/1.1\r\nHost: Nobody.example:80\r\nAccept: text/html\r\n\r\n")
	if res.StatusCode != 404 || !strings.Contains(body, "nobody.example") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestPanics(t *testing.T) {
	var records []Record
	var mu sync.Mutex
	_, addr := start(t, Options{Access: func(r Record) { mu.Lock(); records = append(records, r); mu.Unlock() }}, nil, func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Path == "/late" {
			w.Write([]byte("part"))
			http.NewResponseController(w).Flush()
		}
		panic("oops")
	})
	if res, body := ask(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); res.StatusCode != 500 || !strings.Contains(body, "Ray ID") || strings.Contains(body, "oops") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	c, br := dial(t, addr)
	io.WriteString(c, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("a broken off response looks whole")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(records) != 2 || records[0].Status != 500 || records[0].Fault == nil || !records[1].Aborted || records[1].Bytes != 4 || records[1].Worker != "default" {
		t.Errorf("%+v", records)
	}
}

type stage func(w http.ResponseWriter, r *http.Request, next Handler) error

func (s stage) ServeHTTP(w http.ResponseWriter, r *http.Request, next Handler) error {
	return s(w, r, next)
}

func TestStagesRunInOrder(t *testing.T) {
	add := func(name string) Stage {
		return stage(func(w http.ResponseWriter, r *http.Request, next Handler) error {
			r.Header.Add("X-Way", name)
			if r.URL.Path == "/stop-"+name {
				return fault.AccessDenied
			}
			return next.ServeHTTP(w, r)
		})
	}
	_, addr := start(t, Options{Stages: []Stage{add("1"), add("2")}}, nil, func(w http.ResponseWriter, r *http.Request) error {
		fmt.Fprint(w, r.Header["X-Way"])
		return nil
	})
	if _, body := ask(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); body != "[1 2]" {
		t.Error(body)
	}
	if res, _ := ask(t, addr, "GET /stop-2 HTTP/1.1\r\nHost: a\r\n\r\n"); res.StatusCode != 403 {
		t.Error(res.StatusCode)
	}
}

func TestHTTP2(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	for _, tlsOn := range []bool{false, true} {
		for _, version := range []int{1, 2} {
			var server *tls.Config
			scheme := "http"
			if tlsOn {
				server, scheme = &tls.Config{Certificates: cert.TLS.Certificates}, "https"
			}
			_, addr := start(t, Options{}, server, func(w http.ResponseWriter, r *http.Request) error {
				record := telemetry.RequestFrom(r.Context())
				fmt.Fprintf(w, "%s %s %s", r.Proto, record.Scheme, record.CF)
				return nil
			})
			p := new(http.Protocols)
			p.SetHTTP1(version == 1)
			p.SetHTTP2(version == 2 && tlsOn)
			p.SetUnencryptedHTTP2(version == 2 && !tlsOn)
			transport := &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			defer transport.CloseIdleConnections()
			for range 2 { // the second on the same connection
				res, err := (&http.Client{Transport: transport}).Get(scheme + "://" + addr)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				proto := map[int]string{1: "HTTP/1.1", 2: "HTTP/2.0"}[version]
				if !strings.HasPrefix(string(body), proto+" "+scheme) || strings.Contains(string(body), `"tlsVersion":"TLSv1.3"`) != tlsOn {
					t.Errorf("%s", body)
				}
			}
			transport.CloseIdleConnections()
		}
	}
}

// A Worker that fetches its own host, passing its request on, ends with 1019.
func TestLocalLoops(t *testing.T) {
	v := new(config.Value)
	v.Set(&config.Snapshot{Workers: map[string]*config.Worker{"self": {Name: "self", Subdomain: true}}})
	var e *Edge
	deepest := 0
	e, addr := start(t, Options{Source: v}, nil, func(w http.ResponseWriter, r *http.Request) error {
		deepest = max(deepest, telemetry.RequestFrom(r.Context()).Depth)
		sub := httptest.NewRequest("GET", "http://self.localhost/", nil)
		sub.Header = r.Header.Clone()
		sub.Header.Set("CF-Worker", "self")
		rec := httptest.NewRecorder()
		e.Local(r.Host).ServeHTTP(rec, sub)
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
		return nil
	})
	res, body := ask(t, addr, "GET / HTTP/1.1\r\nHost: self.localhost\r\n\r\n")
	if res.StatusCode != 500 || !strings.Contains(body, "error code: 1019") || deepest != maxDepth {
		t.Errorf("%d %s at depth %d", res.StatusCode, body, deepest)
	}
	if e.Local("other.localhost") != nil || e.Local("bad host") != nil {
		t.Error("a host we do not serve is local")
	}
}

func TestWebSocketThroughTheEdge(t *testing.T) {
	// The cell switches protocols on /ws only.
	cell := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			http.Error(w, "no", 400)
			return
		}
		c, rw, _ := http.NewResponseController(w).Hijack()
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(c, rw)
	}))
	defer cell.Close()
	h := hop.New(hop.Options{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", cell.Listener.Addr().String())
	}})
	defer h.Close()
	_, addr := start(t, Options{}, nil, func(w http.ResponseWriter, r *http.Request) error {
		_, err := h.Forward(w, r, hop.Call{})
		return err
	})
	ask := "GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	c, br := dial(t, addr)
	fmt.Fprintf(c, ask, "/ws")
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("CF-Ray") == "" {
		t.Fatal(res, err)
	}
	io.WriteString(c, "\x81\x00\nnot http\n")
	c.(*net.TCPConn).CloseWrite()
	if all, err := io.ReadAll(br); string(all) != "\x81\x00\nnot http\n" {
		t.Errorf("%q %v", all, err)
	}
	// Without 101 nothing that follows is taken for a request.
	c, br = dial(t, addr)
	fmt.Fprintf(c, ask+ask, "/no", "/ws")
	res, err = http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 400 || !res.Close {
		t.Fatal(res, err)
	}
	io.ReadAll(res.Body)
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Errorf("more: %q", rest)
	}
}

// Shutdown lets requests end, and then closes WebSockets.
func TestShutdown(t *testing.T) {
	e := New(Options{Source: fallback(), Logger: quiet, Target: func(w http.ResponseWriter, r *http.Request, _, _ string) error {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return err
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		<-r.Context().Done()
		return c.Close()
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- e.Serve(t.Context(), l, nil) }()
	c, br := dial(t, l.Addr().String())
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(br); len(rest) > 0 || err != nil {
		t.Errorf("%q %v", rest, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("still listening")
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("serve", func(t *testing.T) {
		_, addr := start(t, Options{MaxConns: 3}, nil, func(w http.ResponseWriter, r *http.Request) error { return nil })
		for range 20 {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			io.ReadAll(c)
			c.Close()
		}
	})
	if !poll.Within(poll.Patience, func() bool { return runtime.NumGoroutine() <= before }) {
		buf := make([]byte, 1<<16)
		t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
	}
}

package egress

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/internal/poll"
)

// names is a resolver whose answers take turns.
type names struct {
	mu      sync.Mutex
	answers map[string][][]string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.answers[host]
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var out []netip.Addr
	for _, s := range list[0] {
		out = append(out, netip.MustParseAddr(s))
	}
	if len(list) > 1 {
		n.answers[host] = list[1:]
	}
	return out, nil
}

func fixed(m map[string]string) *names {
	n := &names{answers: map[string][][]string{}}
	for host, addrs := range m {
		n.answers[host] = [][]string{strings.Fields(addrs)}
	}
	return n
}

// world is an Egress with a cell in front of it and a made-up internet behind.
type world struct {
	*Egress
	front  *httptest.Server
	client *http.Client // sends everything to front, as a cell does
	mu     sync.Mutex
	dialed []string
}

// start makes a world in which every public address is the server at internet.
func start(t testing.TB, o Options, internet string) *world {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Egress: e}
	e.connect = func(ctx context.Context, network, addr string) (net.Conn, error) {
		w.mu.Lock()
		w.dialed = append(w.dialed, addr)
		w.mu.Unlock()
		return new(net.Dialer).DialContext(ctx, network, internet)
	}
	w.front = httptest.NewServer(e.For(&config.Version{Worker: "api"}))
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, w.front.Listener.Addr().String())
	}}
	w.client = &http.Client{Transport: cell{transport}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		w.front.Close()
		e.Close()
	})
	return w
}

// cell sends the scheme in a header, as workerd does.
type cell struct{ *http.Transport }

func (c cell) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.Header.Set(hop.ProtoHeader, r.URL.Scheme)
	out.URL.Scheme = "http"
	return c.Transport.RoundTrip(out)
}

func (w *world) get(t testing.TB, target string) (*http.Response, string) {
	t.Helper()
	res, err := w.client.Get(target)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func (w *world) dials() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.Join(w.dialed, " ")
	w.dialed = nil
	return s
}

func server(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func TestPublicAddresses(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "100.63.255.255": true, "100.128.0.1": true, "172.15.0.1": true, "172.32.0.1": true,
		"2606:4700::1": true, "2001:4860:4860::8888": true, "::ffff:8.8.8.8": true, "64:ff9b::8.8.8.8": true,

		"0.0.0.0": false, "0.1.2.3": false, "127.0.0.1": false, "127.255.255.254": false, "10.0.0.1": false, "172.16.0.1": false,
		"172.31.255.255": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.100.100.200": false,
		"168.63.129.16": false, "192.0.0.192": false, "192.0.2.1": false, "192.88.99.1": false, "198.18.0.1": false, "198.51.100.1": false,
		"203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::127.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false,
		"::ffff:0:127.0.0.1": false, "64:ff9b::127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b::169.254.169.254": false,
		"64:ff9b:1::8.8.8.8": false, "2002:7f00:1::": false, "2002:a00:1::": false, "2001::1": false, "2001:db8::1": false,
		"fc00::1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false, "2606:4700::1%1": false, "fec0::1": false,
		"ff02::1": false, "100::1": false, "3fff::1": false, "5f00::1": false,
	} {
		if got := public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: public %v", addr, got)
		}
	}
}

func TestHostsThatWorkersMayNotReach(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "reached") })
	w := start(t, Options{
		Resolver: fixed(map[string]string{
			"public.example": "8.8.8.8", "localhost": "127.0.0.1", "private.example": "10.0.0.1", "six.example": "::1", "mapped.example": "::ffff:127.0.0.1",
			"nat64.example": "64:ff9b::7f00:1", "metadata.google.internal": "169.254.169.254", "mixed.example": "10.0.0.1 8.8.4.4", "allowed.example": "10.9.9.9",
			"empty.example": "", "2130706433": "127.0.0.1", "0x7f000001": "127.0.0.1", "017700000001": "127.0.0.1", "0x7f.1": "127.0.0.1", "127.1": "127.0.0.1",
		}),
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")},
	}, s.Listener.Addr().String())
	for _, c := range []struct {
		host   string
		status int
		dials  string
	}{
		{"public.example", 200, "8.8.8.8:80"},
		{"PUBLIC.example.:8080", 200, "8.8.8.8:8080"},
		{"mixed.example", 200, "8.8.4.4:80"},
		{"allowed.example", 200, "10.9.9.9:80"},
		{"8.8.8.8:81", 200, "8.8.8.8:81"},
		{"[2606:4700::1]", 200, "[2606:4700::1]:80"},
		{"[::ffff:8.8.8.8]:82", 200, "8.8.8.8:82"},
		{"localhost", 403, ""}, {"private.example", 403, ""}, {"six.example", 403, ""}, {"mapped.example", 403, ""},
		{"nat64.example", 403, ""}, {"metadata.google.internal", 403, ""}, {"127.0.0.1", 403, ""}, {"127.0.0.1:8080", 403, ""},
		{"0.0.0.0", 403, ""}, {"169.254.169.254", 403, ""}, {"[::1]", 403, ""}, {"[::]", 403, ""}, {"[::ffff:7f00:1]", 403, ""},
		{"[::ffff:127.0.0.1]", 403, ""}, {"[fe80::1]", 403, ""}, {"[fd00:ec2::254]", 403, ""}, {"[64:ff9b::7f00:1]", 403, ""},
		{"2130706433", 400, ""}, {"0x7f000001", 400, ""}, {"017700000001", 400, ""}, {"0x7f.1", 400, ""}, {"127.1", 400, ""}, {"0177.0.0.1", 400, ""},
		{"1.2.3.4.5", 400, ""}, {"a b", 400, ""}, {"[::1", 400, ""}, {"a/b", 400, ""}, {"u@public.example", 400, ""},
		{"nowhere.example", 530, ""}, {"empty.example", 530, ""},
	} {
		t.Run(c.host, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Host = c.host
			rec := httptest.NewRecorder()
			w.For(&config.Version{Worker: "api"}).ServeHTTP(rec, r)
			if rec.Code != c.status {
				t.Errorf("status %d, want %d: %s", rec.Code, c.status, rec.Body)
			}
			if got := w.dials(); got != c.dials {
				t.Errorf("dialed %q, want %q", got, c.dials)
			}
			if c.status == 403 && !strings.Contains(rec.Body.String(), "--origin") {
				t.Errorf("no next step in %q", rec.Body)
			}
		})
	}
}

// A name is public when first asked and private afterwards: what was judged is
// what is dialled, and a later connection is judged anew.
func TestRebinding(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Connection", "close") })
	w := start(t, Options{Resolver: &names{answers: map[string][][]string{"rebind.example": {{"8.8.8.8"}, {"127.0.0.1"}}}}}, s.Listener.Addr().String())
	if res, _ := w.get(t, "http://rebind.example/"); res.StatusCode != 200 || w.dials() != "8.8.8.8:80" {
		t.Error(res.StatusCode)
	}
	if res, _ := w.get(t, "http://rebind.example/"); res.StatusCode != 403 || w.dials() != "" {
		t.Error(res.StatusCode)
	}
}

func TestRedirectToPrivate(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
	})
	w := start(t, Options{Resolver: fixed(map[string]string{"a.example": "8.8.8.8"})}, s.Listener.Addr().String())
	if res, body := w.get(t, "http://a.example/"); res.StatusCode != 403 || w.dials() != "8.8.8.8:80" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestOrigins(t *testing.T) {
	echo := server(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Host, " ", r.RequestURI, " ", r.Header.Get("CF-Worker"), " ", r.Header.Get(hop.CFHeader), r.Header.Get(hop.ProtoHeader))
	})
	other := server(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "other") })
	w := start(t, Options{
		Origins: map[string]*url.URL{
			"users.internal":      mustURL(echo.URL),
			"based.internal":      mustURL(echo.URL + "/base/"),
			"users.internal:9999": mustURL(other.URL),
		},
		Zone: func(worker string) string { return worker + ".example.com" },
	}, "127.0.0.1:1")
	for target, want := range map[string]string{
		"http://users.internal/a%2Fb?c":    "users.internal /a%2Fb?c api.example.com ",
		"https://USERS.internal/":          "USERS.internal / api.example.com ",
		"http://based.internal/a%2Fb?c":    "based.internal /base/a%2Fb?c api.example.com ",
		"http://users.internal:9999/":      "other",
		"http://users.internal:1234/other": "users.internal:1234 /other api.example.com ",
	} {
		if _, body := w.get(t, target); body != want {
			t.Errorf("%s: %q, want %q", target, body, want)
		}
	}
}

// Origins can be replaced while requests go on; one that cannot be used
// changes nothing.
func TestSetOrigins(t *testing.T) {
	answer := func(text string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }))
		t.Cleanup(server.Close)
		return server.URL
	}
	e, err := New(Options{Origins: map[string]*url.URL{"web.internal": mustURL(answer("one"))}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ask := func() string {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		r.Host = "web.internal"
		e.For(&config.Version{Worker: "w"}).ServeHTTP(w, r)
		return w.Body.String()
	}
	if got := ask(); got != "one" {
		t.Errorf("got %q", got)
	}
	if err := e.SetOrigins(map[string]*url.URL{"web.internal": mustURL(answer("two"))}); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != "two" {
		t.Errorf("got %q", got)
	}
	if err := e.SetOrigins(map[string]*url.URL{"web.internal": mustURL("ftp://x")}); err == nil {
		t.Error("accepted ftp")
	}
	if got := ask(); got != "two" {
		t.Errorf("got %q", got)
	}
}

func TestOriginsThatCannotBe(t *testing.T) {
	for host, target := range map[string]string{"a": "127.0.0.1", "b": "ftp://x", "c": "http://u:p@x", "D": "http://x", "e/f": "http://x", "g": "tcp://x", "h": "http://x?y"} {
		if _, err := New(Options{Origins: map[string]*url.URL{host: mustURL(target)}}); err == nil {
			t.Errorf("%s=%s is accepted", host, target)
		}
	}
}

func TestHostsServedHere(t *testing.T) {
	w := start(t, Options{Local: func(host string) http.Handler {
		if host != "here.example:8443" {
			return nil
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.URL.String(), " ", r.Host, " ", r.Header.Get("CF-Worker"))
		})
	}, Resolver: fixed(nil)}, "127.0.0.1:1")
	if _, body := w.get(t, "https://Here.example:8443/x?y"); body != "https://Here.example:8443/x?y Here.example:8443 api" {
		t.Error(body)
	}
	if res, _ := w.get(t, "https://elsewhere.example/"); res.StatusCode != 530 {
		t.Error(res.StatusCode)
	}
}

func TestTLS(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	secure.EnableHTTP2 = true
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	secure.StartTLS()
	defer secure.Close()
	plain := server(t, func(http.ResponseWriter, *http.Request) {})
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	resolver := fixed(map[string]string{"example.com": "8.8.8.8", "wrong.test": "8.8.8.8"})
	for _, c := range []struct {
		name, host, internet string
		roots                *x509.CertPool
		status               int
		body                 string
	}{
		{"verified, by h2", "example.com", secure.Listener.Addr().String(), roots, 200, "HTTP/2.0"},
		{"unknown authority", "example.com", secure.Listener.Addr().String(), x509.NewCertPool(), 526, "error code: 526"},
		{"other name", "wrong.test", secure.Listener.Addr().String(), roots, 526, "wrong.test"},
		{"no TLS at all", "example.com", plain.Listener.Addr().String(), roots, 525, "error code: 525"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, Options{RootCAs: c.roots, Resolver: resolver}, c.internet)
			res, body := w.get(t, "https://"+c.host+"/")
			if res.StatusCode != c.status || !strings.Contains(body, c.body) || w.dials() != "8.8.8.8:443" {
				t.Errorf("%d %s", res.StatusCode, body)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	garbage, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer garbage.Close()
	go func() {
		for {
			c, err := garbage.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "220 mail.example\r\n")
			c.Close()
		}
	}()
	release := make(chan bool)
	silent := server(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	for name, c := range map[string]struct {
		internet string
		status   int
	}{
		"refused": {closed.Addr().String(), 521},
		"garbage": {garbage.Addr().String(), 520},
		"silent":  {silent.Listener.Addr().String(), 524},
	} {
		w := start(t, Options{HeaderTimeout: 100 * time.Millisecond}, c.internet)
		if res, body := w.get(t, "http://8.8.8.8/"); res.StatusCode != c.status || !strings.HasPrefix(body, fmt.Sprintf("error code: %d\n", c.status)) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
}

func TestStreamsAndCancels(t *testing.T) {
	left := make(chan bool)
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: 1\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})
	w := start(t, Options{}, s.Listener.Addr().String())
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://8.8.8.8/", nil)
	res, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); line != "data: 1\n" {
		t.Fatal(line, err)
	}
	cancel()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Fatal("the origin never heard of it")
	}
}

func (w *world) raw(t *testing.T, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", w.front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, request)
	return c, bufio.NewReader(c)
}

func TestWebSocketClient(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(c, rw)
	}))
	s.EnableHTTP2 = true // it is offered, and must not be taken
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	w := start(t, Options{RootCAs: roots, Resolver: fixed(map[string]string{"example.com": "8.8.8.8"})}, s.Listener.Addr().String())
	c, br := w.raw(t, "GET / HTTP/1.1\r\nHost: example.com\r\nSelvage-Proto: https\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	io.WriteString(c, "frame")
	c.(*net.TCPConn).CloseWrite()
	if all, err := io.ReadAll(br); string(all) != "frame" {
		t.Errorf("%q %v", all, err)
	}
}

func TestSockets(t *testing.T) {
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
			go func() {
				defer c.Close()
				all, _ := io.ReadAll(c) // until the Worker has closed its half
				fmt.Fprintf(c, "got %s", all)
			}()
		}
	}()
	w := start(t, Options{
		Origins:  map[string]*url.URL{"db.internal": mustURL("tcp://" + l.Addr().String()), "web.internal": mustURL("http://" + l.Addr().String())},
		Resolver: fixed(map[string]string{"public.example": "8.8.8.8", "private.example": "10.0.0.1"}),
	}, l.Addr().String())
	for target, want := range map[string]struct {
		status int
		dials  string
	}{
		"public.example:5432":  {200, "8.8.8.8:5432"},
		"8.8.8.8:22":           {200, "8.8.8.8:22"},
		"db.internal:5432":     {200, ""},
		"web.internal:80":      {530, ""}, // an origin for fetch only
		"private.example:5432": {403, ""},
		"127.0.0.1:22":         {403, ""},
		"[::1]:22":             {403, ""},
		"public.example:25":    {403, ""},
	} {
		t.Run(target, func(t *testing.T) {
			c, br := w.raw(t, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\nearly ")
			res, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"})
			if err != nil || res.StatusCode != want.status || w.dials() != want.dials {
				t.Fatal(res, err)
			}
			if want.status != 200 {
				return
			}
			io.WriteString(c, "late")
			c.(*net.TCPConn).CloseWrite()
			if all, err := io.ReadAll(br); string(all) != "got early late" {
				t.Errorf("%q %v", all, err)
			}
		})
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("TLS", TestTLS)
	t.Run("sockets", TestSockets)
	t.Run("streams", TestStreamsAndCancels)
	if !poll.Within(poll.Patience, func() bool { return runtime.NumGoroutine() <= before }) {
		buf := make([]byte, 1<<16)
		t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
	}
}

func FuzzSplitHost(f *testing.F) {
	for _, s := range []string{"a.example:80", "[::1]:8080", "0x7f.1", "u@h", "a:b:c", "[fe80::1%25eth0]", "1.2.3.4."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, err := splitHost(s, "80")
		if err == nil && (host == "" || port == "" || strings.ContainsAny(host, "/@[]?#")) {
			t.Errorf("%q: %q %q", s, host, port)
		}
	})
}

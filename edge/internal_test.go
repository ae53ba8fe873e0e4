package edge

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// internal sends a request of worker to host, as egress does.
func internal(h http.Handler, worker, host string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "http://"+host+"/", nil)
	for k, v := range header {
		r.Header[k] = v
	}
	r.Header.Set("CF-Worker", worker)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// One Worker whose requests hang leaves places to the others, and is told why
// it gets no more.
func TestShareOfInternalRequests(t *testing.T) {
	arrived, release := make(chan bool), make(chan struct{})
	e, _ := start(t, Options{MaxInternal: 8}, nil, func(w http.ResponseWriter, r *http.Request) error {
		arrived <- true
		<-release
		_, err := io.WriteString(w, "ok")
		return err
	})
	h := http.HandlerFunc(e.serveInternal)
	done := make(chan int, 9)
	hang := func(worker string) {
		go func() { done <- internal(h, worker, "web.localhost", nil).Code }()
		<-arrived
	}
	hang("greedy")
	hang("greedy")
	w := internal(h, "greedy", "web.localhost", nil)
	if w.Code != 503 || !strings.Contains(w.Body.String(), `The Worker "greedy" has 2 requests`) || strings.Contains(w.Body.String(), "1019") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, worker := range []string{"a", "a", "b", "b", "c", "c"} {
		hang(worker)
	}
	if w := internal(h, "d", "web.localhost", nil); w.Code != 503 || !strings.Contains(w.Body.String(), "Workers have 8 requests") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := e.Internal(); n != 8 {
		t.Errorf("%d are open", n)
	}
	close(release)
	for range 8 {
		if code := <-done; code != 200 {
			t.Error(code)
		}
	}
	if n := e.Internal(); n != 0 || len(e.internal.by) != 0 {
		t.Errorf("%d are open, of %v", n, e.internal.by)
	}
}

// What a Worker says about the client does not reach another Worker: it sees
// the address that Cloudflare gives for Workers.
func TestWorkersDoNotForgeTheClient(t *testing.T) {
	var got http.Header
	e, _ := start(t, Options{}, nil, func(w http.ResponseWriter, r *http.Request) error {
		got = r.Header.Clone()
		return nil
	})
	forged := http.Header{}
	for _, name := range []string{"X-Forwarded-For", "CF-Connecting-IP", "CF-Connecting-IPv6", "X-Real-IP", "True-Client-IP", "CF-IPCountry", "CF-Pseudo-IPv4", "X-Forwarded-Proto", "CF-Visitor", "CF-Ray"} {
		forged.Set(name, "192.0.2.7")
	}
	internal(http.HandlerFunc(e.serveInternal), "a", "web.localhost", forged)
	const worker = "2a06:98c0:3600::103"
	for name, want := range map[string]string{
		"X-Forwarded-For": worker, "CF-Connecting-IP": worker, "X-Real-IP": worker, "X-Forwarded-Proto": "http", "CF-Worker": "a",
		"CF-Connecting-IPv6": "", "True-Client-IP": "", "CF-IPCountry": "", "CF-Pseudo-IPv4": "",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Get(name), want)
		}
	}
	for name, values := range got {
		if strings.Contains(strings.Join(values, " "), "192.0.2.7") {
			t.Errorf("%s: %q is the Worker's", name, values)
		}
	}
}

// The edge's own ports, and no others, are answered inside.
func TestPortsOfTheEdge(t *testing.T) {
	e, addr := start(t, Options{}, nil, func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.WriteString(w, r.Host)
		return err
	})
	res, _ := ask(t, addr, "GET / HTTP/1.1\r\nHost: first\r\n\r\n") // it listens by now
	res.Body.Close()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	h := e.Port(port)
	if h == nil {
		t.Fatal("the edge does not know its port")
	}
	if w := internal(h, "a", "192.0.2.1:"+port, nil); w.Body.String() != "192.0.2.1:"+port {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if e.Port("22") != nil {
		t.Error("another port is the edge's")
	}
}

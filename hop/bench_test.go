package hop

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
)

type pool struct{ sync.Pool }

func (p *pool) Get() []byte  { return *p.Pool.Get().(*[]byte) }
func (p *pool) Put(b []byte) { p.Pool.Put(&b) }

// BenchmarkForward compares Forward with httputil.ReverseProxy over one and
// the same unix socket, client and server included.
func BenchmarkForward(b *testing.B) {
	path := filepath.Join(b.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write([]byte("Hello World"))
	})}
	go srv.Serve(l)
	defer srv.Close()

	hop := New(Options{Dial: unix(path)})
	single := New(Options{Dial: unix(path), Single: true})
	proxy := func(t *http.Transport, p httputil.BufferPool) http.Handler {
		to := &url.URL{Scheme: "http", Host: "cell"}
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: t, BufferPool: p}
	}
	tuned := hop.transport.Clone()
	for _, c := range []struct {
		name string
		h    http.Handler
	}{
		{"Hop", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hop.Forward(w, r, Call{}) })},
		{"HopSingle", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { single.Forward(w, r, Call{}) })},
		{"ReverseProxyTuned", proxy(tuned, &pool{sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}})},
		{"ReverseProxyDefaults", proxy(&http.Transport{DialContext: unix(path)}, nil)},
	} {
		b.Run(c.name, func(b *testing.B) {
			front := httptest.NewServer(c.h)
			defer front.Close()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					res, err := client.Get(front.URL)
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			})
		})
		// Without client and server around it.
		b.Run(fmt.Sprint(c.name, "Alone"), func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest("GET", "http://example.com/", nil)
			r.Header.Set("Accept", "*/*")
			for b.Loop() {
				c.h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

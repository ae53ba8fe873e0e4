package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// options are those of a server that is no limit to anyone.
func options(h func(w http.ResponseWriter, r *http.Request) error) Options {
	return Options{
		Logger: slog.New(slog.DiscardHandler), MaxConns: 1 << 10, MaxConnsPerClient: 1 << 10, HeaderTimeout: 15 * time.Second, IdleTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if IsWebSocket(r.Header["Upgrade"]) {
				w.Header().Set("Connection", "close")
			}
			if err := h(w, r); err != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
		}),
	}
}

// start serves o.
func start(t testing.TB, o Options, config *tls.Config) (*Server, string) {
	t.Helper()
	v := New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- v.Serve(context.Background(), l, config) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := v.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return v, l.Addr().String()
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

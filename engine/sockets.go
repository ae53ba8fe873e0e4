package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/edge/http1"
	"github.com/selvage-edge/selvage/hop"
)

// bindings is the server behind the external services of all cells. A
// capability, injected by the cell's workerd where the Worker's code can
// neither see nor change it, says which binding of which cell is meant.
//
// A CONNECT request, which is what connect() sends, carries no injected header:
// what may receive one listens on a socket of its own, see listen.
type bindings struct {
	path     string
	server   *http1.Server
	done     chan struct{}
	handlers sync.Map // capability → http.Handler
	alone    sync.Map // path of a socket → http.Handler
}

type aloneKey struct{}

const forever = 100 * 365 * 24 * time.Hour

func serveBindings(path string, log *slog.Logger) (*bindings, error) {
	f, err := listenUnix(path)
	if err != nil {
		return nil, err
	}
	l, err := net.FileListener(f)
	f.Close()
	if err != nil {
		os.Remove(path)
		return nil, err
	}
	b := &bindings{path: path, done: make(chan struct{})}
	b.server = http1.New(http1.Options{
		Handler: b, Logger: log, Tolerant: true, MaxHeaderBytes: 1 << 20,
		// Cells keep their connections; only workerd and the Worker's own
		// limits bound how long a call may take.
		HeaderTimeout: forever, IdleTimeout: forever, MaxConns: math.MaxInt, MaxConnsPerClient: math.MaxInt,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if h, ok := b.alone.Load(c.LocalAddr().String()); ok {
				return context.WithValue(ctx, aloneKey{}, h)
			}
			return ctx
		},
	})
	go func() {
		defer close(b.done)
		_ = b.server.Serve(context.Background(), l, nil)
	}()
	return b, nil
}

func (b *bindings) close() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = b.server.Shutdown(now)
	<-b.done
}

// admit returns a new capability for h.
func (b *bindings) admit(h http.Handler) string {
	var secret [16]byte
	rand.Read(secret[:]) // never fails
	token := hex.EncodeToString(secret[:])
	b.handlers.Store(token, h)
	return token
}

// revoke takes a capability back.
func (b *bindings) revoke(token string) { b.handlers.Delete(token) }

// listen serves h, and nothing else, on f, a socket at path, until stop is called.
func (b *bindings) listen(path string, f *os.File, h http.Handler) (stop func(), err error) {
	l, err := net.FileListener(f)
	f.Close()
	if err != nil {
		os.Remove(path)
		return nil, err
	}
	b.alone.Store(path, h)
	go b.server.Serve(context.Background(), l, nil) // ends with l or with the server
	return func() {
		l.Close()
		os.Remove(path)
		b.alone.Delete(path)
	}, nil
}

// ServeHTTP leads a request to the binding that its capability opens.
func (b *bindings) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h, ok := r.Context().Value(aloneKey{}).(http.Handler); ok {
		delete(r.Header, hop.CapabilityHeader)
		h.ServeHTTP(w, r)
		return
	}
	token := r.Header[hop.CapabilityHeader]
	if len(token) != 1 {
		http.Error(w, "no capability", http.StatusForbidden)
		return
	}
	h, ok := b.handlers.Load(token[0])
	if !ok {
		http.Error(w, "unknown capability", http.StatusForbidden)
		return
	}
	delete(r.Header, hop.CapabilityHeader)
	h.(http.Handler).ServeHTTP(w, r)
}

// noEgress answers fetch() where no network is given.
func noEgress(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "this Worker has no network", http.StatusForbidden)
}

// emptyCache answers the Cache API: nothing is kept and nothing found, as on
// workers.dev.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/cache/
func emptyCache(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPut:
		w.WriteHeader(http.StatusNoContent)
	case "PURGE":
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Header().Set("CF-Cache-Status", "MISS")
		w.WriteHeader(http.StatusGatewayTimeout)
	}
}

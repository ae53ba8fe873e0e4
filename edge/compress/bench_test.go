//go:build unix

package compress

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge"
)

// BenchmarkStage is what a response costs through the stage, without a network:
// one that is too short, one that is not on the list, and a text of 13 kB.
func BenchmarkStage(b *testing.B) {

	for _, c := range []struct{ name, accept, contentType, body string }{
		{"hello", "", "text/plain", "hello"},
		{"hello to a browser", "gzip, deflate, br, zstd", "text/plain", "hello"},
		{"image", "gzip, deflate, br, zstd", "image/png", text},
		{"gzip", "gzip", "text/plain", text},
		{"br", "br", "text/plain", text},
		{"zstd", "zstd", "text/plain", text},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := New(Options{})
			length, contentType := []string{strconv.Itoa(len(c.body))}, []string{c.contentType}
			next := edge.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				h := w.Header()
				h["Content-Length"], h["Content-Type"] = length, contentType
				w.WriteHeader(200)
				_, err := io.WriteString(w, c.body)
				return err
			})
			r := &http.Request{Method: "GET", Header: http.Header{}}
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				r.Header["Accept-Encoding"] = []string{c.accept}
				if err := s.ServeHTTP(w, r, next); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHello is a whole request, client included, with the stage and
// without, in turns.
func BenchmarkHello(b *testing.B) {
	for _, side := range []struct {
		name   string
		stages []edge.Stage
	}{{"without", nil}, {"with", []edge.Stage{New(Options{})}}, {"without again", nil}, {"with again", []edge.Stage{New(Options{})}}} {
		b.Run(side.name, func(b *testing.B) {
			v := new(config.Value)
			v.Set(&config.Snapshot{Default: "w", Workers: map[string]*config.Worker{"w": {Name: "w"}}})
			e := edge.New(edge.Options{
				Source: v, Stages: side.stages, Logger: slog.New(slog.DiscardHandler),
				Target: func(w http.ResponseWriter, r *http.Request, _, _ string) error {
					h := w.Header()
					h["Content-Type"], h["Content-Length"] = []string{"text/plain"}, []string{"5"}
					_, err := io.WriteString(w, "hello")
					return err
				},
			})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			served := make(chan error, 1)
			go func() { served <- e.Serve(ctx, l, nil) }()
			defer func() {
				cancel()
				e.Shutdown(context.Background())
				<-served
			}()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			in := bufio.NewReader(c)
			b.ReportAllocs()
			before := processor()
			for b.Loop() {
				io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n")
				for line := ""; line != "\r\n"; {
					part, err := in.ReadSlice('\n')
					if err != nil {
						b.Fatal(err)
					}
					line = string(part)
				}
				in.Discard(len("hello"))
			}
			b.ReportMetric(float64(processor()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// processor is the processor time that this process has used.
func processor() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

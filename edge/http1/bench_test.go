//go:build unix

package http1

import (
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// BenchmarkServe compares what a request costs with short and with net/http,
// the client, which is as small as can be, included.
func BenchmarkServe(b *testing.B) {
	one, two := startBoth(b, func(w http.ResponseWriter, r *http.Request) error {
		w.Header()["Content-Type"] = []string{"text/plain"}
		_, err := io.WriteString(w, "hello")
		return err
	})
	for _, side := range []struct{ name, addr string }{{"short", one}, {"net-http", two}} {
		b.Run(side.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(8)
			before := processor()
			b.RunParallel(func(pb *testing.PB) {
				conn, br := dial(b, side.addr)
				for pb.Next() {
					io.WriteString(conn, "GET / HTTP/1.1\r\n"+okHost+"User-Agent: bench\r\n\r\n")
					for line := ""; line != "\r\n"; {
						part, err := br.ReadSlice('\n')
						if err != nil {
							b.Error(err)
							return
						}
						line = string(part)
					}
					br.Discard(len("hello"))
				}
			})
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

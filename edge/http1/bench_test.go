//go:build unix

package http1

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// BenchmarkServe compares what a request costs with short and with net/http,
// the client, which is as small as can be, included.
func BenchmarkServe(b *testing.B) {
	one, two := startBoth(b, options(func(w http.ResponseWriter, r *http.Request) error {
		w.Header()["Content-Type"] = []string{"text/plain"}
		_, err := io.WriteString(w, "hello")
		return err
	}))
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

// BenchmarkH2 is what h2 adds to a request over HTTP/2 with the fields of a
// browser, of which the path and one more are new each time.
func BenchmarkH2(b *testing.B) {
	header := request("/", "sec-ch-ua", `"Chromium";v="148", "Not-A.Brand";v="24", "Google Chrome";v="148"`, "sec-ch-ua-mobile", "?0", "sec-ch-ua-platform", `"Linux"`,
		"upgrade-insecure-requests", "1", "user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36",
		"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8", "sec-fetch-site", "none", "sec-fetch-mode", "navigate",
		"sec-fetch-user", "?1", "sec-fetch-dest", "document", "accept-encoding", "gzip, deflate, br, zstd", "accept-language", "en-GB,en;q=0.9", "cookie", "session=0123456789abcdef0123456789abcdef", "priority", "u=0, i", "x-request", "")
	var conn, block bytes.Buffer
	conn.WriteString(preface)
	f, enc := http2.NewFramer(&conn, nil), hpack.NewEncoder(&block)
	for i := range b.N {
		header[5], header[len(header)-1] = "/"+strconv.Itoa(i), strconv.Itoa(i)
		block.Reset()
		for j := 0; j < len(header); j += 2 {
			enc.WriteField(hpack.HeaderField{Name: header[j], Value: header[j+1]})
		}
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(i)*2 + 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	}
	h := newH2(&conn)
	b.ReportAllocs()
	b.ResetTimer()
	before := processor()
	if _, err := io.Copy(io.Discard, h); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(processor()-before)/float64(b.N), "cpu-ns/op")
}

//go:build unix

package s3

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding/r2"
)

// BenchmarkGet reads whole objects through the S3 API, and beside it files through
// net/http: the limit. The client is as small as can be.
func BenchmarkGet(b *testing.B) {
	dir := b.TempDir()
	plain := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer plain.Close()
	f := newFixture(b, false)
	bucket := f.bucket("b")
	for _, size := range []int64{4 << 10, 1 << 20, 100 << 20} {
		name := fmt.Sprint(size)
		content := make([]byte, size)
		f.ok(os.WriteFile(filepath.Join(dir, name), content, 0o600))
		_, err := bucket.Put(context.Background(), name, bytes.NewReader(content), r2.PutOptions{})
		f.ok(err)
		for _, side := range []struct{ name, addr, path string }{{"s3", f.addr, "/b/" + name}, {"file", plain.Listener.Addr().String(), "/" + name}} {
			b.Run(name+"/"+side.name, func(b *testing.B) {
				conn, err := net.Dial("tcp", side.addr)
				f.ok(err)
				defer conn.Close()
				in := bufio.NewReaderSize(conn, 256<<10)
				b.SetBytes(size)
				before := processor()
				for b.Loop() {
					fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", side.path)
					resp, err := http.ReadResponse(in, nil)
					f.ok(err)
					if n, err := io.CopyBuffer(sink{}, resp.Body, make([]byte, 256<<10)); err != nil || n != size {
						b.Fatal(n, err)
					}
				}
				b.ReportMetric(float64(processor()-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// processor is the processor time that this process has used: client and server.
func processor() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sink has no ReadFrom, whose buffers are small.
type sink struct{}

func (sink) Write(p []byte) (int, error) { return len(p), nil }

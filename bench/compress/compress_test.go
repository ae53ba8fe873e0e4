//go:build linux

// Package compress measures compression towards clients beside nginx: a script
// of 70 kB to clients that take gzip, with the types that Cloudflare lists on
// both sides. The sides take turns.
//
//	go test ./bench/compress -run '^$' -bench . -benchtime 1x
package compress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/edge/compress"
	"github.com/selvage-edge/selvage/internal/poll"
)

// BenchmarkScript has the script compressed at each request on both sides, and
// compressed before: kept by us, by gzip_static on nginx.
func BenchmarkScript(b *testing.B) {
	script := makeScript()
	our, nginx := startEdge(b, script), startNginx(b, script)
	for _, row := range []struct {
		name  string
		sides []target
	}{
		{"each-time", []target{
			{"selvage-gzip", our, "/each/script.js", "gzip"}, {"selvage-br", our, "/each/script.js", "br"}, {"selvage-zstd", our, "/each/script.js", "zstd"},
			{"nginx-gzip-1", nginx, "/script.js", "gzip"}, {"nginx-gzip-5", nginx, "/five/script.js", "gzip"},
		}},
		{"once", []target{{"selvage-gzip", our, "/script.js", "gzip"}, {"nginx-gzip-static", nginx, "/static/script.js", "gzip"}}},
		{"not-at-all", []target{{"selvage", our, "/script.js", "identity"}, {"nginx", nginx, "/script.js", "identity"}}},
	} {
		b.Run(row.name, func(b *testing.B) { compare(b, row.sides) })
	}
}

type target struct{ name, addr, path, accept string }

// compare reports the medians of the requests per second and of the processor
// time that one takes, the load generator's part included, and the bytes of a
// response's body.
func compare(b *testing.B, sides []target) {
	const rounds, turn = 5, 300 * time.Millisecond
	rates, costs := make([][]float64, len(sides)), make([][]float64, len(sides))
	for b.Loop() {
		for _, s := range sides {
			_, size := s.load(b, turn/4) // warm
			b.ReportMetric(size, s.name+"-bytes")
		}
		for round := range rounds {
			for i := range sides {
				i = (i + round) % len(sides)
				before, begin := processor(b), time.Now()
				rate, _ := sides[i].load(b, turn)
				rates[i] = append(rates[i], rate)
				costs[i] = append(costs[i], (processor(b)-before).Seconds()*1e6/(rate*time.Since(begin).Seconds()))
			}
		}
	}
	for i, s := range sides {
		slices.Sort(rates[i])
		slices.Sort(costs[i])
		b.ReportMetric(rates[i][len(rates[i])/2], s.name+"/s")
		b.ReportMetric(costs[i][len(costs[i])/2], s.name+"-cpu-us")
	}
	b.ReportMetric(0, "ns/op")
}

// nginxPID is the master's.
var nginxPID int

// processor is the time that this process and nginx have used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	sum := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", nginxPID, nginxPID))
	if err != nil {
		b.Fatal(err)
	}
	for pid := range strings.FieldsSeq(string(children)) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			b.Fatal(err)
		}
		_, after, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(after)
		for _, ticks := range fields[11:13] { // utime and stime, in hundredths of a second
			n, _ := strconv.Atoi(ticks)
			sum += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return sum
}

// load sends requests one after another on each of 16 connections.
func (t target) load(b *testing.B, turn time.Duration) (rate, size float64) {
	b.Helper()
	var requests, sent atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range 16 {
		wg.Go(func() {
			c, err := net.Dial("tcp", t.addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			request := []byte("GET " + t.path + " HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: " + t.accept + "\r\n\r\n")
			in := bufio.NewReaderSize(c, 128<<10)
			for time.Since(begin) < turn {
				c.Write(request)
				n, err := readAnswer(in, t.accept)
				if err != nil {
					b.Errorf("%s: %v", t.name, err)
					return
				}
				requests.Add(1)
				sent.Add(n)
			}
		})
	}
	wg.Wait()
	return float64(requests.Load()) / time.Since(begin).Seconds(), float64(sent.Load()) / float64(max(requests.Load(), 1))
}

// readAnswer reads one response and returns the length of its body, which must
// be in the coding.
func readAnswer(in *bufio.Reader, coding string) (n int64, err error) {
	length, got := int64(-1), "identity"
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if first && !bytes.Contains(line, []byte(" 200 ")) {
			return 0, fmt.Errorf("answered %q", line)
		}
		name, value, _ := strings.Cut(string(bytes.TrimSpace(line)), ": ")
		switch strings.ToLower(name) {
		case "content-length":
			if length, err = strconv.ParseInt(value, 10, 64); err != nil {
				return 0, err
			}
		case "content-encoding":
			got = value
		}
		if name == "" {
			break
		}
	}
	if got != coding {
		return 0, fmt.Errorf("the body is %s, not %s", got, coding)
	}
	if length >= 0 {
		return io.CopyN(io.Discard, in, length)
	}
	if n, err = io.Copy(io.Discard, httputil.NewChunkedReader(in)); err == nil {
		_, err = in.ReadSlice('\n')
	}
	return n, err
}

// makeScript is about as compressible as a script is: to less than a third.
func makeScript() []byte {
	random := rand.New(rand.NewPCG(1, 1))
	words := make([]string, 800)
	for i := range words {
		word := make([]byte, 3+random.IntN(9))
		for j := range word {
			word[j] = 'a' + byte(random.IntN(26))
		}
		words[i] = string(word)
	}
	word := func() string { return words[random.IntN(len(words))] }
	var text bytes.Buffer
	for text.Len() < 70_000 {
		fmt.Fprintf(&text, "  const %s = %s(%d);\n", word(), word(), random.IntN(1000))
	}
	return text.Bytes()
}

// file is the script as a static file.
type file struct {
	script []byte
	digest string
}

func (f file) Lookup(path string) (config.AssetFile, bool) {
	return config.AssetFile{Path: path, ETag: f.digest, Digest: f.digest, Size: int64(len(f.script)), ContentType: "text/javascript"}, path == "/script.js"
}

func (f file) Open(config.AssetFile) (io.ReadSeekCloser, error) {
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(f.script), io.NopCloser(nil)}, nil
}

// startEdge serves the script with our edge, as a file and from a handler.
func startEdge(b *testing.B, script []byte) (addr string) {
	files, err := assets.New(&config.Version{Assets: &config.Assets{Files: file{script, fmt.Sprintf("%x", sha256.Sum256(script))}}})
	if err != nil {
		b.Fatal(err)
	}
	v := new(config.Value)
	v.Set(&config.Snapshot{Default: "w", Workers: map[string]*config.Worker{"w": {Name: "w"}}})
	e := edge.New(edge.Options{
		Source: v, Stages: []edge.Stage{compress.New(compress.Options{})}, Logger: slog.New(slog.DiscardHandler),
		Target: func(w http.ResponseWriter, r *http.Request, _, _ string) error {
			if strings.HasPrefix(r.URL.Path, "/each/") {
				w.Header()["Content-Type"], w.Header()["Content-Length"] = []string{"text/javascript"}, []string{strconv.Itoa(len(script))}
				w.Write(script)
				return nil
			}
			files.Serve(w, r, nil)
			return nil
		},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- e.Serve(ctx, l, nil) }()
	b.Cleanup(func() {
		cancel()
		e.Shutdown(context.Background())
		<-served
	})
	return l.Addr().String()
}

// startNginx serves the script with nginx, at its own level and at ours, and
// compressed before.
func startNginx(b *testing.B, script []byte) (addr string) {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		b.Fatal("nginx is not there to compare with; install it (apt-get install nginx)")
	}
	dir := b.TempDir()
	for _, folder := range []string{"www/five", "www/static"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, 5)
	z.Write(script)
	z.Close()
	for name, data := range map[string][]byte{"www/script.js": script, "www/five/script.js": script, "www/static/script.js": script, "www/static/script.js.gz": packed.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	configuration := fmt.Sprintf(`
daemon off; worker_processes 2; pid %[1]s/pid; error_log %[1]s/error.log; %[3]s
events {}
http {
  access_log off; keepalive_requests 1000000; sendfile on; tcp_nopush on;
  types { text/javascript js; }
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  gzip on; gzip_min_length 48; gzip_vary on; gzip_types text/javascript;
  server {
    listen %[2]s; root %[1]s/www;
    location /five/ { gzip_comp_level 5; }
    location /static/ { gzip_static on; }
  }
}`, dir, addr, user())
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(configuration), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(binary, "-p", dir, "-c", path, "-e", filepath.Join(dir, "error.log"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	nginxPID = cmd.Process.Pid
	b.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		cmd.Wait()
	})
	answers := poll.Within(poll.Patience, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	if !answers {
		b.Fatalf("nginx does not answer: %s", &said)
	}
	return addr
}

// user lets nginx, which would become nobody, read the files as root does.
func user() string {
	if os.Geteuid() == 0 {
		return "user root;"
	}
	return ""
}

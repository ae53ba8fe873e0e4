// Package goworkers measures Workers in Go beside what they are compared with.
// Both sides of a pair run in turns within one benchmark and the medians are
// reported, so that a noisy moment hits both.
//
//	go test ./bench/goworkers -run '^$' -bench . -benchtime 1x
package goworkers

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver"
	"golang.org/x/sys/unix"

	"github.com/selvage-edge/selvage"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/binding/kv"
)

// env is the Worker's environment.
type env struct {
	KV  *kv.Namespace `binding:"KV"`
	DB  *d1.Database  `binding:"DB"`
	SQL *sql.DB       `binding:"DB"`
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

// start runs a platform with one Worker in Go, and returns its environment.
func start(b *testing.B, more ...selvage.Option) (*selvage.Platform, *env) {
	b.Helper()
	var e *env
	options := append([]selvage.Option{
		selvage.WithData(b.TempDir()), selvage.WithLogger(slog.New(slog.DiscardHandler)),
		selvage.Worker("go", func(x *env) http.Handler { e = x; return http.HandlerFunc(hello) }),
	}, more...)
	p, err := selvage.New(b.Context(), options...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close(context.Background()) })
	return p, e
}

// compare runs two sides in turns and reports the median of each and of the
// ratio. A side does its work for about a turn and returns operations per
// second.
func compare(b *testing.B, one, two string, sides [2]func(turn time.Duration) float64) {
	b.Helper()
	const rounds, turn = 7, 400 * time.Millisecond
	for b.Loop() {
		for _, s := range sides {
			s(turn / 4) // warm
		}
		var rates, costs [2][]float64
		var ratios []float64
		for round := range rounds {
			var now [2]float64
			for i := range 2 {
				i = (i + round) % 2
				before := processor()
				now[i] = sides[i](turn)
				costs[i] = append(costs[i], (processor()-before).Seconds()*1e6/(now[i]*turn.Seconds()))
				rates[i] = append(rates[i], now[i])
			}
			ratios = append(ratios, now[0]/now[1])
		}
		b.ReportMetric(median(rates[0]), one+"/s")
		b.ReportMetric(median(rates[1]), two+"/s")
		b.ReportMetric(median(ratios), "ratio")
		// What else the machine does tells less on this than on the rates.
		b.ReportMetric(median(costs[0]), one+"-cpu-us")
		b.ReportMetric(median(costs[1]), two+"-cpu-us")
		b.ReportMetric(0, "ns/op")
	}
}

// processor is the processor time that this process has used, the load
// generator in it included.
func processor() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// repeat calls f until a turn is over.
func repeat(b *testing.B, turn time.Duration, f func() error) float64 {
	b.Helper()
	n, begin := 0, time.Now()
	for time.Since(begin) < turn {
		for range 20 {
			if err := f(); err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	return float64(n) / time.Since(begin).Seconds()
}

// load sends requests one after another on each of some connections, with as
// little of its own work as possible.
func load(b *testing.B, addr string, turn time.Duration) float64 {
	b.Helper()
	var total atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range 16 {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			request := []byte("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n")
			from := bufio.NewReader(c)
			for time.Since(begin) < turn {
				c.Write(request)
				if err := skipResponse(from); err != nil {
					b.Error(err)
					return
				}
				total.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(total.Load()) / time.Since(begin).Seconds()
}

// skipResponse reads one response that has a Content-Length.
func skipResponse(from *bufio.Reader) error {
	length := 0
	for {
		line, err := from.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			_, err := from.Discard(length)
			return err
		}
		if name, value, ok := cutHeader(line); ok && name == "Content-Length" {
			if length, err = strconv.Atoi(value); err != nil {
				return err
			}
		}
	}
}

func cutHeader(line []byte) (name, value string, ok bool) {
	for i, c := range line {
		if c == ':' {
			return string(line[:i]), string(line[i+2 : len(line)-2]), true
		}
	}
	return "", "", false
}

// A Worker in Go behind the whole edge, and the same handler on net/http.
func BenchmarkHello(b *testing.B) {
	p, _ := start(b)
	// As selvage.Main does, so that the collector does not run dozens of times a
	// second in a heap of a few MB. Both sides have it.
	ballast := make([]byte, 32<<20)
	defer runtime.KeepAlive(ballast)
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		return l
	}
	edge, bare := listen(), listen()
	go p.Serve(b.Context(), edge)
	server := &http.Server{Handler: http.HandlerFunc(hello)}
	go server.Serve(bare)
	defer server.Close()
	compare(b, "selvage", "net-http", [2]func(time.Duration) float64{
		func(turn time.Duration) float64 { return load(b, edge.Addr().String(), turn) },
		func(turn time.Duration) float64 { return load(b, bare.Addr().String(), turn) },
	})
}

// project is a Worker in JavaScript that uses KV many times in a request.
var project = fstest.MapFS{
	"js/wrangler.toml": {Data: []byte("name = \"js\"\nmain = \"index.js\"\ncompatibility_date = \"2026-01-01\"\nkv_namespaces = [{ binding = \"KV\", id = \"KV\" }]\n")},
	"js/index.js": {Data: []byte(`export default { async fetch(request, env) {
  for (let i = 0; i < 200; i++) if (await env.KV.get("key") !== "value") throw new Error("wrong");
  return new Response("ok");
} }`)},
}

// KV get from Go, and from JavaScript.
func BenchmarkKVGet(b *testing.B) {
	p, e := start(b, selvage.Project(project, "js"))
	if err := e.KV.Put(b.Context(), "key", []byte("value"), kv.PutOptions{}); err != nil {
		b.Fatal(err)
	}
	client := p.Worker("js").Client()
	compare(b, "go", "js", [2]func(time.Duration) float64{
		func(turn time.Duration) float64 {
			return repeat(b, turn, func() error { _, err := e.KV.Get(b.Context(), "key"); return err })
		},
		func(turn time.Duration) float64 {
			n, begin := 0, time.Now()
			for time.Since(begin) < turn {
				res, err := client.Get("http://js/")
				if err != nil {
					b.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if string(body) != "ok" {
					b.Fatalf("%s", body)
				}
				n += 200
			}
			return float64(n) / time.Since(begin).Seconds()
		},
	})
}

const schema = "CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT NOT NULL)"

// fill puts 1000 rows into a database.
func fill(b *testing.B, db *sql.DB) {
	b.Helper()
	if _, err := db.Exec(schema); err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		if _, err := db.Exec("INSERT INTO user (id, name) VALUES (?, ?)", i, fmt.Sprint("user ", i)); err != nil {
			b.Fatal(err)
		}
	}
}

// D1 point reads from Go, and the SQLite driver alone: both by database/sql.
func BenchmarkD1Read(b *testing.B) {
	_, e := start(b)
	bare, err := sql.Open("sqlite3", "file:"+filepath.Join(b.TempDir(), "bare.sqlite")+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)")
	if err != nil {
		b.Fatal(err)
	}
	defer bare.Close()
	fill(b, e.SQL)
	fill(b, bare)
	i := 0
	read := func(db *sql.DB) func() error {
		return func() error {
			var name string
			i++
			return db.QueryRow("SELECT name FROM user WHERE id = ?", i%1000).Scan(&name)
		}
	}
	prepared, err := bare.Prepare("SELECT name FROM user WHERE id = ?")
	if err != nil {
		b.Fatal(err)
	}
	readPrepared := func() error {
		var name string
		i++
		return prepared.QueryRow(i % 1000).Scan(&name)
	}
	readD1 := func() error {
		i++
		_, err := e.DB.Prepare("SELECT name FROM user WHERE id = ?").Bind(i % 1000).Raw(b.Context())
		return err
	}
	side := func(f func() error) func(time.Duration) float64 {
		return func(turn time.Duration) float64 { return repeat(b, turn, f) }
	}
	b.Run("sql", func(b *testing.B) {
		compare(b, "selvage", "driver", [2]func(time.Duration) float64{side(read(e.SQL)), side(read(bare))})
	})
	b.Run("d1", func(b *testing.B) {
		compare(b, "selvage", "prepared", [2]func(time.Duration) float64{side(readD1), side(readPrepared)})
	})
}

package workerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/crashtest"
	"github.com/selvage-edge/selvage/internal/poll"
)

// binary returns workerd, fetching it the first time.
func binary(t testing.TB) string {
	t.Helper()
	path, err := Binary(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// listen returns a unix socket, its descriptor and a client for it.
func listen(t testing.TB) (*os.File, *http.Client) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); l.Close() })
	return f, &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
}

func get(t testing.TB, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// module makes the configuration of one Worker of one module.
func module(source string, bindings ...Binding) *Config {
	return &Config{
		Services: []Service{{Name: "user", Worker: &Worker{
			Modules:           []Module{{Name: "index.js", Kind: ESModule, Data: []byte(source)}},
			CompatibilityDate: "2026-01-01",
			Bindings:          bindings,
		}}},
		Sockets: []Socket{{Name: "main", Service: ServiceDesignator{Name: "user"}}},
	}
}

func TestProcess(t *testing.T) {
	socket, client := listen(t)
	var mu sync.Mutex
	var lines []Line
	p, err := Start(t.Context(), Options{
		Binary:        binary(t),
		Config:        module(`export default { fetch(r) { console.warn("path", new URL(r.url).pathname); return new Response("hello") } }`),
		Sockets:       map[string]*os.File{"main": socket},
		InspectorAddr: "127.0.0.1:0",
		Lines:         func(l Line) { mu.Lock(); lines = append(lines, l); mu.Unlock() },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if got := get(t, client, "http://x/path"); got != "hello" {
		t.Errorf("body %q", got)
	}
	if p.Ports["inspector"] == 0 {
		t.Errorf("ports %v, want the inspector's", p.Ports)
	}
	if u, err := p.Usage(); err != nil || u.CPU <= 0 || u.Memory < 1<<20 {
		t.Errorf("usage %+v, %v", u, err)
	}
	t.Logf("listening after %v", p.StartTime)
	client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Drain(ctx); err != nil {
		t.Errorf("drain: %v", err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(lines) != 1 || lines[0].Level != "warn" || lines[0].Message != "path /path" || lines[0].Runtime {
		t.Errorf("lines %+v", lines)
	}
}

func TestStartError(t *testing.T) {
	tests := []struct {
		name, source string
		want         StartError
	}{
		{"syntax", "export default {\n fetch() { return new Response(1 }\n}\n",
			StartError{Message: "SyntaxError: missing ) after argument list", Stack: "    at index.js:2:31", Service: "user", Module: "index.js", Line: 2, Column: 31}},
		{"throw", "function boom(){ throw new TypeError('nope\\n  at work') }\nboom();\nexport default {}",
			StartError{Message: "TypeError: nope\n  at work", Stack: "    at boom (index.js:1:24)\n    at index.js:2:1", Service: "user", Module: "index.js", Line: 1, Column: 24}},
		{"missing module", "import x from './no.js'; export default {}",
			StartError{Message: "Error: No such module \"no.js\".\n  imported from \"index.js\"", Service: "user"}},
		{"throw string", "throw 'just a string'",
			StartError{Message: "Error: just a string", Service: "user"}},
		{"out of memory", "const all = []; while (true) all.push(new Array(2e7).fill(1));",
			StartError{Message: "Script startup exceeded memory limits."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			socket, _ := listen(t)
			_, err := Start(t.Context(), Options{Binary: binary(t), Config: module(tt.source), Sockets: map[string]*os.File{"main": socket}})
			var se *StartError
			if !errors.As(err, &se) {
				t.Fatalf("error %v", err)
			}
			if *se != tt.want {
				t.Errorf("got  %+v\nwant %+v", *se, tt.want)
			}
		})
	}
	t.Run("no binary", func(t *testing.T) {
		socket, _ := listen(t)
		_, err := Start(t.Context(), Options{Binary: "/nonexistent", Config: module(""), Sockets: map[string]*os.File{"main": socket}})
		if err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("never ready", func(t *testing.T) {
		socket, _ := listen(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("took too long"))
		_, err := Start(ctx, Options{Binary: binary(t), Config: module("for(;;);"), Sockets: map[string]*os.File{"main": socket}})
		if err == nil || !strings.Contains(err.Error(), "took too long") {
			t.Errorf("error %v", err)
		}
	})
}

// A listening descriptor that became blocking would stall every generation
// that shares it.
func TestSocketsStayNonBlocking(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	if err := errors.Join(syscall.SetNonblock(fd, true),
		syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Join(t.TempDir(), "s")}), syscall.Listen(fd, 16)); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "s")
	defer f.Close()
	p, err := Start(t.Context(), Options{Binary: binary(t), Config: module("export default {}"), Sockets: map[string]*os.File{"main": f}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { p.Kill(); p.Wait() }()
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
	if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
		t.Errorf("flags %x, %v: the descriptor blocks", flags, errno)
	}
}

// The parent of this test is killed with SIGKILL; its workerd must follow.
func TestDiesWithParent(t *testing.T) {
	crashtest.Child(func([]string) error {
		socket, _ := listen(t)
		p, err := Start(t.Context(), Options{Binary: binary(t), Config: module("export default {}"), Sockets: map[string]*os.File{"main": socket}})
		if err != nil {
			return err
		}
		fmt.Printf("pid %d\n", p.PID())
		select {}
	})
	t.Setenv(Variable, binary(t)) // the child prints nothing about a download
	c := crashtest.Start(t)
	var pid int
	for line := range c.Lines() {
		if _, err := fmt.Sscanf(line, "pid %d", &pid); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		c.Kill()
	}
	poll.Until(t, "workerd ends with its parent", func() bool { return !running(pid) })
}

// running reports whether pid is a process that is not a zombie.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// A line of the structured log that is too long keeps its level and the start of
// its message, wherever it is cut, and the next line is whole again.
func TestLongLines(t *testing.T) {
	const head = `{"timestamp":1795218587965,"level":"log","message":"`
	for _, unit := range []string{`x`, `é`, `\\`, `\"`, `\u001f`, `\ud83d\ude00`} {
		for shift := range 12 {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			var got []Line
			p := &Process{ready: true, output: func(l Line) { got = append(got, l) }}
			done := make(chan struct{})
			go func() {
				p.read(r)
				close(done)
			}()
			io.WriteString(w, head+strings.Repeat("y", shift)+strings.Repeat(unit, 2*maxLineBytes/len(unit))+"\"}\n"+head+"next\"}\n")
			w.Close()
			<-done
			if len(got) != 2 || got[0].Runtime || got[0].Level != "log" || len(got[0].Message) <= 256<<10 || strings.Contains(got[0].Message, "timestamp") || got[1].Message != "next" {
				t.Fatalf("unit %s after %d: %d lines, first %.80q", unit, shift, len(got), got[0].Message)
			}
		}
	}
}

func TestException(t *testing.T) {
	for _, c := range []struct {
		line Line
		want string
	}{
		{Line{Runtime: true, Level: "info", Message: "uncaught exception; source = Uncaught (in promise); stack = Error: a; b\n    at f (i.js:1:2)"}, "Error: a; b\n    at f (i.js:1:2)"},
		{Line{Runtime: true, Level: "info", Message: "uncaught exception; source = Uncaught; exception = text"}, "text"},
		{Line{Runtime: true, Level: "info", Message: "uncaught exception; exception = a.h:1: failed: jsg.Error: x"}, ""},
		{Line{Runtime: true, Level: "info", Message: "uncaught exception; source = Uncaught"}, ""},
		{Line{Runtime: true, Level: "error", Message: "uncaught exception; source = Uncaught; exception = text"}, ""},
		{Line{Level: "info", Message: "uncaught exception; source = Uncaught; exception = text"}, ""}, // the Worker's own words
	} {
		if got, ok := c.line.Exception(); got != c.want || ok != (got != "") {
			t.Errorf("%+v: %q, %v", c.line, got, ok)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add(`{"timestamp":1795218587965,"level":"log","message":"hi"}`)
	f.Add(`{"timestamp":"1795218587965","level":"error","source":"a.rs:1","message":"service user: Uncaught Error: x\n  at index.js:2:31","context_depth":0}`)
	f.Add(`# Fatal error in v8`)
	f.Add(`{"timestamp":{},"level":"log","message":"x"}`)
	f.Fuzz(func(t *testing.T, s string) {
		ParseLine(closeLine([]byte(s)))
		l := ParseLine([]byte(s))
		l.Exception()
		if l.Level == "" || l.Time.IsZero() {
			t.Errorf("%+v", l)
		}
		_ = parseStartError([]string{l.Message}).Error()
		if _, err := json.Marshal(l); err != nil {
			t.Error(err)
		}
	})
}

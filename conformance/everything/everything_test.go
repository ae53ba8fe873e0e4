// Package everything runs one project that uses every feature through the
// whole program, as a user would.
package everything

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/selvage-edge/selvage/cli/dev"
	"github.com/selvage-edge/selvage/internal/poll"
)

// start runs the two projects of testdata and returns the address.
func start(t *testing.T, change func(*dev.Options)) string {
	t.Helper()
	read, write := io.Pipe()
	o := dev.Options{
		Projects: []string{"testdata/app", "testdata/callee"}, Address: "127.0.0.1", Data: t.TempDir(),
		Observe: true, Stdout: write, Stderr: t.Output(),
	}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- dev.Run(ctx, o); write.Close() }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewScanner(read)
	address := ""
	for address == "" && lines.Scan() {
		t.Log(lines.Text())
		address, _ = strings.CutPrefix(lines.Text(), "Ready on ")
		if address == lines.Text() {
			address = ""
		}
	}
	if address == "" {
		t.Fatal("selvage dev ended before it was ready")
	}
	go io.Copy(io.Discard, read)
	return address
}

var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func get(t *testing.T, address, path string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, strings.TrimSpace(string(body))
}

func TestEverything(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "origin got %s %s", r.Host, r.RequestURI)
	}))
	defer origin.Close()
	u, err := url.Parse(origin.URL)
	if err != nil {
		t.Fatal(err)
	}
	address := start(t, func(o *dev.Options) { o.Origins = map[string]*url.URL{"users-service.internal": u} })

	answers := []struct {
		path   string
		status int
		body   string
		header string // "Name: value" that must be there
	}{
		{"/api/request", 200, fmt.Sprintf(`{"url":"%s/api/request","colo":"LOC","protocol":"HTTP/1.1","ip":"127.0.0.1","ray":true,"proto":"http","forged":null}`, address), ""},
		{"/api/vars", 200, `["a var",{"nested":{"n":1}},"hush","string"]`, ""},
		{"/api/modules", 200, `["a text module",[1,2,3],5,"6e6f6465"]`, ""},
		{"/api/kv", 200, `["hello",{"lang":"en"},{"n":1},[["greeting","hello"],["missing",null]],["greeting"],"KV PUT failed: 400 Invalid expiration_ttl of 1. Expiration TTL must be at least 60."]`, ""},
		{"/api/d1", 200, `[[{"name":"a"},{"name":"b"}],"number","D1_ERROR: UNIQUE constraint failed: t.name: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)","D1_ERROR: not authorized: SQLITE_AUTH"]`, ""},
		{"/api/service", 200, `["callee got https://callee/path",3,"everything",5]`, ""},
		{"/api/ratelimit", 200, `[true,true,false]`, ""},
		{"/api/queue", 200, `sent`, ""},
		{"/api/analytics?a", 200, `written`, ""},
		{"/api/queue?large", 200, `message length of 128002 bytes exceeds limit of 128000 (10204)`, ""},
		{"/api/assets", 200, "about", ""},
		{"/api/self", 200, "about", ""},
		{"/api/private", 403, "", ""},
		{"/api/origin", 200, "origin got users-service.internal /from/the/worker?q=1", ""},
		{"/api/none", 404, "no such thing: none", ""},
		{"/", 200, "<!doctype html><title>everything</title><h1>static</h1>", "Content-Type: text/html; charset=utf-8"},
		{"/index.html", 307, "", "Location: /"},
		{"/old", 301, "", "Location: /about"},
		{"/missing", 404, "<h1>nothing here</h1>", ""},
	}
	for _, a := range answers {
		response, body := get(t, address, a.path, "Selvage-Capability", "forged", "CF-Connecting-IP", "6.6.6.6")
		if response.StatusCode != a.status || a.body != "" && body != a.body {
			t.Errorf("GET %s\n got %d %s\nwant %d %s", a.path, response.StatusCode, body, a.status, a.body)
		}
		if name, value, ok := strings.Cut(a.header, ": "); ok && response.Header.Get(name) != value {
			t.Errorf("GET %s: %s is %q, want %q", a.path, name, response.Header.Get(name), value)
		}
	}

	t.Run("queue of another project", func(t *testing.T) {
		poll.Until(t, "the message is received", func() bool {
			_, body := get(t, address, "/api/received")
			return body == `[["jobs",{"n":1},1]]`
		})
	})
	t.Run("conditional asset", func(t *testing.T) {
		first, _ := get(t, address, "/about")
		second, body := get(t, address, "/about", "If-None-Match", first.Header.Get("ETag"))
		if second.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("with its ETag: %d %q, want 304", second.StatusCode, body)
		}
	})
	t.Run("WebSocket", func(t *testing.T) {
		if got := talk(t, address+"/api/socket", "hi"); got != "echo hi" {
			t.Errorf("answered %q", got)
		}
	})
	t.Run("hibernating WebSocket", func(t *testing.T) {
		if got := talk(t, address+"/api/room", "hi"); got != "1: hi" {
			t.Errorf("answered %q", got)
		}
		if _, body := get(t, address, "/api/count"); body != "1" {
			t.Errorf("counted %s messages, want 1", body)
		}
	})
	t.Run("events are flushed at once", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		request, _ := http.NewRequestWithContext(ctx, http.MethodGet, address+"/api/events?id=1", nil)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		if !lines.Scan() || lines.Text() != "data: first" {
			t.Fatalf("first event: %q %v", lines.Text(), lines.Err())
		}
		get(t, address, "/api/seen?id=1")
		rest := ""
		for lines.Scan() {
			rest += lines.Text()
		}
		if rest != "data: second" {
			t.Errorf("then %q %v", rest, lines.Err())
		}
	})
	t.Run("large body", func(t *testing.T) {
		const size = 64 << 20
		response, err := client.Post(address+"/api/length", "application/octet-stream", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if body, _ := io.ReadAll(response.Body); string(body) != fmt.Sprint(size) {
			t.Errorf("counted %s bytes of %d", body, size)
		}
	})
	t.Run("answer before the body", func(t *testing.T) {
		for range 500 { // a client that sees a reset in place of the answer is one of many
			response, err := client.Post(address+"/api/early", "text/plain", bytes.NewReader(make([]byte, 1<<20)))
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("answered %d, want 413", response.StatusCode)
			}
			if response, _ := get(t, address, "/api/vars"); response.StatusCode != http.StatusOK {
				t.Errorf("the request after it got %d", response.StatusCode)
			}
		}
	})
	t.Run("smuggling is refused", func(t *testing.T) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		line, err := bufio.NewReader(conn).ReadString('\n')
		if !strings.Contains(line, " 400 ") {
			t.Errorf("answered %q %v, want 400", line, err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// talk sends one message over a WebSocket and returns the answer.
func talk(t *testing.T, address, message string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(websocket.StatusNormalClosure, "")
	if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
	_, answer, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// TestEnvironment: a named environment has its own name and vars, and inherits
// no binding.
func TestEnvironment(t *testing.T) {
	address := start(t, func(o *dev.Options) { o.Env = "staging"; o.Projects = o.Projects[:1] })
	if _, body := get(t, address, "/api/vars"); !strings.Contains(body, "1101") {
		t.Errorf("/api/vars = %s, want an exception: VERSION is not inherited", body)
	}
	if _, body := get(t, address, "/api/request"); !strings.Contains(body, `"colo":"LOC"`) {
		t.Errorf("/api/request = %s", body)
	}
}

// TestDataOutlivesTheServer: what was stored is there after a restart.
func TestDataOutlivesTheServer(t *testing.T) {
	data := t.TempDir()
	for want := 1; want <= 2; want++ {
		t.Run(fmt.Sprint("run ", want), func(t *testing.T) {
			address := start(t, func(o *dev.Options) { o.Data = data })
			if got := talk(t, address+"/api/room", "hi"); got != fmt.Sprintf("%d: hi", want) {
				t.Errorf("answered %q, want message number %d", got, want)
			}
		})
	}
}

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/platform"
)

// printed collects what a command that goes on running prints.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *printed) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(data)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// run starts a command that runs until the test ends, and returns the URL that
// it is ready on.
func run(t *testing.T, args ...string) (url string) {
	t.Helper()
	out := &printed{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, args, IO{Stdin: strings.NewReader(""), Stdout: out, Stderr: out}, Additions{})
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("selvage %v: exit code %d:\n%s", args, code, out)
		}
	})
	poll.Until(t, "Ready on", func() bool {
		_, rest, ok := strings.Cut(out.String(), "Ready on ")
		url, _, _ = strings.Cut(rest, "\n")
		return ok && strings.Contains(rest, "\n")
	})
	return url
}

// Both commands ask the process that runs on the data directory, be it `dev`
// or `serve`.
func TestCells(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"wrangler.json": `{"name": "api", "main": "index.js", "compatibility_date": "2026-01-01", "vars": {"PLAIN": "in the clear"},
			"kv_namespaces": [{"binding": "KV", "id": "b5fb9a8e1d2a4b6c8e0f1a2b3c4d5e6f"}]}`,
		".dev.vars": "TOKEN=hunter2\n",
		"index.js":  `export default { fetch(r, env) { return new Response("hello " + env.TOKEN) } }`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"cells"}, {"cells", "--json"}, {"cell", "config", "api"}} {
		if code, _, stderr := call(t, args...); code != 1 || !strings.Contains(stderr, "no server runs on") {
			t.Errorf("%v without a server: exit code %d, %q", args, code, stderr)
		}
	}
	url := run(t, "dev", "--port", "0")
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()

	code, stdout, stderr := call(t, "cells")
	if fields := strings.Fields(stdout); code != 0 || !strings.HasPrefix(stdout, "WORKER") || len(fields) < 12 || fields[9] != "api" || fields[12] != "running" {
		t.Errorf("cells: exit code %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, stderr = call(t, "cells", "--json")
	var list []platform.CellInfo
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != 0 || len(list) != 1 {
		t.Fatalf("cells --json: exit code %d, %q, %q, %v", code, stdout, stderr, err)
	}
	if c := list[0]; c.Worker != "api" || c.Version == "" || c.PID == 0 || c.Memory == 0 || c.Started.IsZero() || c.Restarts != 0 || c.Config != "" {
		t.Errorf("cells --json: %+v", c)
	}

	code, stdout, stderr = call(t, "cell", "config", "api")
	if code != 0 {
		t.Fatal(stderr)
	}
	for _, want := range []string{"# version ", `name = "user"`, `name = "TOKEN", text = "(left out)"`, `name = "namespace", kvNamespace`, `"Selvage-Capability", value = "(left out)"`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the configuration lacks %q:\n%s", want, stdout)
		}
	}
	for _, secret := range []string{"hunter2", "in the clear", "hello "} {
		if strings.Contains(stdout, secret) {
			t.Errorf("the configuration has %q", secret)
		}
	}
	if code, _, stderr := call(t, "cell", "config", "nobody"); code != 1 || !strings.Contains(stderr, `no process runs the Worker "nobody"`) {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

func TestCellsOfAServer(t *testing.T) {
	t.Chdir(t.TempDir())
	run(t, "serve", "--data", "data", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if code, stdout, stderr := call(t, "cells", "--data", "data", "--json"); code != 0 || stdout != "[]\n" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

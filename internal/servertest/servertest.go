// Package servertest runs `selvage serve` as a process of its own, for tests
// that speak to it as its clients do.
package servertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a running server.
type Server struct {
	// API is the base URL of the REST API, as in CLOUDFLARE_API_BASE_URL.
	API string
	// Edge is the host and port on which Workers answer.
	Edge string
	// Account is the account's id and Token one that may do everything.
	Account, Token string
	// Stop ends the server gracefully and waits for it.
	Stop func()
}

// Program builds selvage, once per test binary, and returns its path. The
// folder it is in is left to the operating system's own tidying.
var Program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "selvage-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "selvage")
	return path, Build(context.Background(), path)
})

// Build builds selvage at a path.
func Build(ctx context.Context, path string) error {
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/selvage-edge/selvage/cmd/selvage").CombinedOutput(); err != nil {
		return fmt.Errorf("build selvage: %w\n%s", err, out)
	}
	return nil
}

// Start runs a server with an empty data directory that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	selvage, err := Program()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	ask := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(selvage, append(args, "--data", data)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("selvage %s: %v\n%s", strings.Join(args, " "), err, &stderr)
		}
		return strings.TrimSpace(string(out))
	}
	token, account := ask("token", "create", "--name", "laptop"), ask("account")
	s := StartOn(t, selvage, data)
	s.Token, s.Account = token, account
	return s
}

// StartOn runs the server of that program on a data directory until Stop, or
// the end of the test. Token and Account are left to the caller.
func StartOn(t testing.TB, selvage, data string) *Server {
	t.Helper()
	s := &Server{}
	cmd := exec.Command(selvage, "serve", "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-format", "json")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	admin := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			fmt.Fprintf(&log, "%s\n", lines.Bytes())
			var line struct{ Msg, URL string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "control plane" {
				admin <- line.URL
			}
		}
	}()
	s.Stop = sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("selvage serve ended with %v", err)
		}
		if t.Failed() {
			t.Logf("selvage serve said:\n%s", &log)
		}
	})
	t.Cleanup(s.Stop)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "Ready on http://"); ok {
			s.Edge = strings.TrimSuffix(url, "/")
			break
		}
	}
	select {
	case s.API = <-admin:
	case <-read:
		t.Fatalf("selvage serve ended before it was ready:\n%s", &log)
	case <-time.After(30 * time.Second):
		t.Fatal("selvage serve is not ready after 30 s")
	}
	return s
}

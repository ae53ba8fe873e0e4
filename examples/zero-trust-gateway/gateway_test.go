// Package gateway runs the example as its README tells people to, and checks
// that what comes back is what the README shows.
package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

// bin is where TestMain puts the programs under test.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "gateway-test-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		build := exec.Command("go", "build", "-o", bin+string(filepath.Separator), "../../cmd/selvage", "./token")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building selvage and token:", err)
			return 1
		}
		return m.Run()
	}())
}

// system is a running "selvage dev".
type system struct {
	url  string // without a slash at the end
	data string
}

// start runs "selvage dev" on a project directory until the test ends. Its
// output is shown when the test fails.
func start(t *testing.T, dir string, args ...string) *system {
	t.Helper()
	s := &system{data: t.TempDir()}
	cmd := exec.Command(filepath.Join(bin, "selvage"), append([]string{"dev", dir, "--port", freePort(t), "--data", s.data}, args...)...)
	var log lockedBuffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			fmt.Fprintln(&log, lines.Text())
			if url, ok := strings.CutPrefix(lines.Text(), "Ready on "); ok {
				ready <- strings.TrimSuffix(strings.TrimSpace(url), "/")
			}
		}
		io.Copy(&log, stdout) // a line too long for the scanner must not block the child
	}()
	t.Cleanup(func() {
		if cmd.Process.Signal(os.Interrupt) != nil {
			cmd.Process.Kill()
		}
		grace := time.AfterFunc(10*time.Second, func() {
			t.Error("selvage dev did not end within 10 s of an interrupt")
			cmd.Process.Kill()
		})
		<-done
		cmd.Wait()
		grace.Stop()
		if t.Failed() {
			t.Logf("selvage dev %s:\n%s", dir, log.String())
		}
	})
	select {
	case s.url = <-ready:
	case <-done:
		t.Fatal("selvage dev ended before it was ready")
	case <-time.After(3 * time.Minute): // the first run downloads workerd
		t.Fatal("selvage dev was not ready within 3 minutes")
	}
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestREADME(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	c := &console{system: start(t, "."), vars: map[string]string{}, tmp: t.TempDir()}
	for _, step := range parseConsole(string(text)) {
		t.Logf("$ %s", step.command)
		if err := c.run(step); err != nil {
			t.Fatalf("README.md:%d: $ %s\n%v", step.line, step.command, err)
		}
	}
	if len(c.requests) < 100 {
		t.Errorf("README.md led to %d requests: its console blocks were not found", len(c.requests))
	}
	checkAudit(t, c)
}

// checkAudit compares the audit rows with the requests that were made.
func checkAudit(t *testing.T, c *console) {
	t.Helper()
	want := map[string]string{}
	for _, r := range c.requests {
		preflight := r.method == "OPTIONS" && r.status == 204
		if r.path != "/health" && !preflight {
			want[r.id] = fmt.Sprint(r.method, " ", r.path, " ", r.status)
		}
	}
	var got map[string]string
	poll.Within(poll.Patience, func() bool { // rows are written behind the answer
		out, err := c.selvage("d1", "execute", "gateway-audit", "--json", "--command",
			"SELECT request_id, method || ' ' || path || ' ' || status AS request FROM audit_logs")
		var answers []struct {
			Results []struct {
				ID      string `json:"request_id"`
				Request string `json:"request"`
			} `json:"results"`
		}
		if err == nil {
			err = json.Unmarshal([]byte(out), &answers)
		}
		if err != nil || len(answers) != 1 {
			t.Fatalf("reading the audit rows: %v: %s", err, out)
		}
		got = map[string]string{}
		for _, row := range answers[0].Results {
			got[row.ID] = row.Request
		}
		return len(got) >= len(want)
	})
	for id, request := range want {
		if got[id] != request {
			t.Errorf("request %s: the audit row says %q, the client saw %q", id, got[id], request)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d audit rows for %d requests", len(got), len(want))
	}
}

// TestModules shows the results of the tables in testdata/modules.
func TestModules(t *testing.T) {
	s := start(t, filepath.Join("testdata", "modules"))
	resp, err := client.Get(s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var results []struct {
		Name  string
		Error *string
	}
	if err := json.NewDecoder(resp.Body).Decode(&results); err != nil {
		t.Fatal(err)
	}
	if len(results) == 0 {
		t.Fatal("no results")
	}
	for _, r := range results {
		t.Run(r.Name, func(t *testing.T) {
			if r.Error != nil {
				t.Error(*r.Error)
			}
		})
	}
}

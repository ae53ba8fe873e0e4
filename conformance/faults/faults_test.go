//go:build linux

// Package faults kills things while they work and checks what is left: the
// whole program, run from outside, with real Workers.
package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/internal/servertest"
)

// binary is selvage, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "selvage-faults-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "selvage")
	if err := servertest.Build(context.Background(), binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// server is a running selvage with the two projects of testdata.
type server struct {
	t    *testing.T
	cmd  *exec.Cmd
	port string
}

func start(t *testing.T, data string, flags ...string) *server {
	t.Helper()
	args := append([]string{"dev", "testdata/writer", "testdata/healthy", "--port", "0", "--ip", "127.0.0.1", "--data", data}, flags...)
	s := &server{t: t, cmd: exec.Command(binary, args...)}
	s.cmd.Stderr = t.Output()
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "Ready on http://127.0.0.1:"); ok {
			s.port = url
			go io.Copy(io.Discard, out)
			return s
		}
	}
	t.Fatal("selvage ended before it was ready")
	return nil
}

// kill is kill -9; it returns when the process is gone.
func (s *server) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// get asks a Worker by its own host name.
func (s *server) get(worker, path string) (int, string, error) {
	request, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+s.port+path, nil)
	if err != nil {
		return 0, "", err
	}
	request.Host = worker + ".localhost"
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func (s *server) must(worker, path string) string {
	s.t.Helper()
	status, body, err := s.get(worker, path)
	if err != nil || status != http.StatusOK {
		s.t.Fatalf("GET %s of %s: %d %q %v", path, worker, status, body, err)
	}
	return body
}

// cells are the pids of selvage's children.
func (s *server) cells() []int {
	var pids []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(text)) {
			pid, _ := strconv.Atoi(field)
			pids = append(pids, pid)
		}
	}
	return pids
}

var stores = []string{"kv", "d1", "do"}

// TestKillLosesNothingAcknowledged kills the whole server again and again while
// clients write to every store.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	const rounds = 6
	const seed = 20261120
	random := rand.New(rand.NewPCG(seed, 0))
	data := t.TempDir()
	acknowledged := map[string][]string{}
	for round := range rounds {
		s := start(t, data)
		s.must("writer", "/prepare/all")
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i, store := range slices.Repeat(stores, 3) {
			wg.Go(func() {
				for n := 0; ; n++ {
					id := fmt.Sprintf("%d-%d-%d", round, i, n)
					status, _, err := s.get("writer", "/write/"+store+"/"+id)
					if err != nil {
						return // killed
					}
					if status == http.StatusOK {
						mu.Lock()
						acknowledged[store] = append(acknowledged[store], id)
						mu.Unlock()
					}
				}
			})
		}
		time.Sleep(time.Duration(50+random.IntN(400)) * time.Millisecond) // the moment of the kill, not a wait for anything
		cells := s.cells()
		if len(cells) == 0 {
			t.Fatal("no cell ran: nothing was tested")
		}
		s.kill()
		wg.Wait()
		poll.Until(t, "the cells die with their parent", func() bool {
			return !slices.ContainsFunc(cells, func(pid int) bool { return syscall.Kill(pid, 0) == nil })
		})
	}
	s := start(t, data)
	for _, store := range stores {
		if len(acknowledged[store]) == 0 {
			t.Errorf("%s: nothing was acknowledged: nothing was tested", store)
		}
		var have []string
		if err := json.Unmarshal([]byte(s.must("writer", "/all/"+store)), &have); err != nil {
			t.Fatal(err)
		}
		kept := map[string]bool{}
		for _, id := range have {
			kept[id] = true
		}
		for _, id := range acknowledged[store] {
			if !kept[id] {
				t.Errorf("%s lost %s, which was acknowledged (seed %d)", store, id, seed)
			}
		}
		t.Logf("%s: %d writes acknowledged, all kept", store, len(acknowledged[store]))
	}
}

// TestOneWorkerDiesAlone kills and blocks one Worker's cell while another
// Worker serves: that one does not lose a request.
func TestOneWorkerDiesAlone(t *testing.T) {
	s := start(t, t.TempDir(), "--stuck-after", "4s") // less is little on a busy machine
	s.must("healthy", "/")
	healthy := s.cells()
	s.must("writer", "/prepare/all")

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	served := 0
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				status, body, err := s.get("healthy", "/")
				if err != nil || status != http.StatusOK || body != "healthy" {
					t.Errorf("the healthy Worker answered %d %q %v", status, body, err)
					return
				}
				mu.Lock()
				served++
				mu.Unlock()
			}
		})
	}
	for range 5 {
		for _, pid := range s.cells() {
			if !slices.Contains(healthy, pid) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		poll.Until(t, "the killed Worker answers again", func() bool {
			status, _, err := s.get("writer", "/write/kv/again")
			return err == nil && status == http.StatusOK
		})
	}
	status, body, err := s.get("writer", "/spin/forever")
	if err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("a Worker that never yields: %d %q %v, want 503", status, body, err)
	}
	poll.Until(t, "the blocked Worker answers again", func() bool {
		status, _, err := s.get("writer", "/write/kv/again")
		return err == nil && status == http.StatusOK
	})
	close(stop)
	wg.Wait()
	if served == 0 {
		t.Error("the healthy Worker served nothing: nothing was tested")
	}
	t.Logf("%d requests to the healthy Worker, none failed", served)
}

// TestInterruptLeavesNothing: Ctrl-C ends selvage with exit code 0 and no cell
// outlives it.
func TestInterruptLeavesNothing(t *testing.T) {
	s := start(t, t.TempDir())
	s.must("writer", "/prepare/all")
	s.must("healthy", "/")
	cells := s.cells()
	s.cmd.Process.Signal(os.Interrupt)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("interrupted selvage ended with %v", err)
	}
	for _, pid := range cells {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("cell %d outlived selvage", pid)
		}
	}
}

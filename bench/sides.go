package main

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/selvage-edge/selvage/engine/workerd"
)

//go:embed worker callee
var projects embed.FS

// side is one system under measurement.
type side struct {
	name, title string
	// promise says when a write is acknowledged.
	promise string
	// urls by row; "" is the fallback.
	urls      map[string]string
	processes []*exec.Cmd
	// output is what those said whose output nobody reads line by line.
	output output
}

// output keeps the beginning of what is written to it, which is where a
// process that does not start says why.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p[:min(len(p), 4<<10-len(o.text))]...)
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

var starters = map[string]func(context.Context, string) (*side, error){
	"selvage":  startSelvage,
	"workerd":  startWorkerd,
	"wrangler": startWrangler,
}

func (s *side) url(row string) string {
	base, ok := s.urls[row]
	if !ok {
		base = s.urls[""]
	}
	return base + "/" + row
}

// prepare waits for the side to answer and fills its stores.
func (s *side) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		err := get(ctx, s.url("prepare"))
		if err == nil {
			return get(ctx, s.url("service-rpc"))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w\n%s", err, s.output.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, target string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 500))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", target, response.Status, body)
	}
	return nil
}

func (s *side) stop() {
	for _, p := range s.processes {
		syscall.Kill(-p.Process.Pid, syscall.SIGKILL) // the whole group
		p.Wait()
	}
}

// unpack writes the two projects into dir/name and returns that folder.
func unpack(dir, name string) (string, error) {
	dir = filepath.Join(dir, name)
	return dir, os.CopyFS(dir, projects)
}

// spawn starts a command in its own process group. If ready is not empty it
// returns once a line of stdout starts with it, with the rest of that line.
func (s *side) spawn(ready string, cmd *exec.Cmd) (string, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	if ready == "" {
		cmd.Stdout, cmd.Stderr = &s.output, &s.output
		s.processes = append(s.processes, cmd)
		return "", cmd.Start()
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	s.processes = append(s.processes, cmd)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), ready); ok {
			go io.Copy(io.Discard, stdout)
			return rest, nil
		}
	}
	return "", errors.New("ended before it was ready")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func startWorkerd(ctx context.Context, dir string) (*side, error) {
	binary, err := workerd.Binary(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	dir, err = unpack(dir, "workerd")
	if err != nil {
		return nil, err
	}
	s := &side{
		name: "workerd", title: "workerd, its bundled bindings",
		promise: "KV, D1 and queues are Durable Objects in the same process; a write is acknowledged after SQLite's commit on local disk.",
		urls:    map[string]string{},
	}
	// `workerd serve wrangler.jsonc` refuses service bindings, so the two rows
	// that need one run from a configuration with both Workers in one process.
	plain := filepath.Join(dir, "worker", "wrangler.jsonc")
	err = os.WriteFile(plain, []byte(`{"name": "bench", "main": "index.js", "compatibility_date": "2026-04-01", "no_bundle": true,
		"kv_namespaces": [{"binding": "KV", "id": "bench-kv"}],
		"d1_databases": [{"binding": "DB", "database_name": "bench-db", "database_id": "bench-db"}],
		"queues": {"producers": [{"binding": "SENT", "queue": "bench-sent"}, {"binding": "THROUGH", "queue": "bench-through"}],
			"consumers": [{"queue": "bench-through", "max_batch_size": 100, "max_batch_timeout": 0}]}}`), 0o600)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "serve", "--experimental", "-s", "http=127.0.0.1:"+strconv.Itoa(port), plain)
	cmd.Dir = filepath.Dir(plain)
	if _, err := s.spawn("", cmd); err != nil {
		return nil, err
	}
	s.urls[""] = "http://127.0.0.1:" + strconv.Itoa(port)
	port, err = freePort()
	if err != nil {
		return nil, err
	}
	both := filepath.Join(dir, "both.capnp")
	err = os.WriteFile(both, fmt.Appendf(nil, `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "bench", worker = (modules = [(name = "index.js", esModule = embed "worker/index.js")], compatibilityDate = "2026-04-01", bindings = [(name = "CALLEE", service = "callee")])),
    (name = "callee", worker = (modules = [(name = "index.js", esModule = embed "callee/index.js")], compatibilityDate = "2026-04-01")),
  ],
  sockets = [(name = "http", address = "127.0.0.1:%d", http = (), service = "bench")],
);
`, port), 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := s.spawn("", exec.CommandContext(ctx, binary, "serve", "--experimental", both)); err != nil {
		return nil, err
	}
	for _, row := range []string{"service-fetch", "service-rpc"} {
		s.urls[row] = "http://127.0.0.1:" + strconv.Itoa(port)
	}
	return s, nil
}

func startWrangler(ctx context.Context, dir string) (*side, error) {
	dir, err := unpack(dir, "wrangler")
	if err != nil {
		return nil, err
	}
	install := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--prefix", dir, "wrangler@4.86.0")
	install.Stderr = os.Stderr
	if err := install.Run(); err != nil {
		return nil, fmt.Errorf("install wrangler from npm (leave it out with -sides selvage,workerd): %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &side{
		name: "wrangler", title: "wrangler dev 4.86.0",
		promise: "Miniflare's simulators: Durable Objects in workerd behind a Node.js proxy; SQLite's commit on local disk.",
		urls:    map[string]string{"": "http://127.0.0.1:" + strconv.Itoa(port)},
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "node_modules", ".bin", "wrangler"), "dev",
		"-c", "worker/wrangler.jsonc", "-c", "callee/wrangler.jsonc", "--port", strconv.Itoa(port), "--ip", "127.0.0.1", "--inspector-port", "0", "--show-interactive-dev-session=false")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "WRANGLER_SEND_METRICS=false", "CLOUDFLARE_CF_FETCH_ENABLED=false", "CI=true", "WRANGLER_LOG=error")
	_, err = s.spawn("", cmd)
	return s, err
}

func startSelvage(ctx context.Context, dir string) (*side, error) {
	data := filepath.Join(dir, "selvage-data")
	dir, err := unpack(dir, "selvage")
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "selvage")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/selvage-edge/selvage/cmd/selvage")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build selvage: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &side{
		name: "selvage", title: "selvage",
		promise: "KV and queues: fsync of the write-ahead log before the answer (Pebble, group commit). D1: SQLite's commit, WAL, survives a crash of the process.",
	}
	cmd := exec.CommandContext(ctx, binary, "dev", "--no-observe", "--port", strconv.Itoa(port), "--data", data,
		filepath.Join(dir, "worker"), filepath.Join(dir, "callee"))
	if _, err := s.spawn("Ready on ", cmd); err != nil {
		return nil, err
	}
	s.urls = map[string]string{"": "http://127.0.0.1:" + strconv.Itoa(port)}
	return s, nil
}

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
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed worker callee objects static
var projects embed.FS

// side is one system under measurement.
type side struct {
	name, title string
	// promise says when a write is acknowledged; empty for who takes none.
	promise string
	// targets says where the requests of a row go. It may start processes that
	// only this row needs.
	targets   func(ctx context.Context, r row) ([]target, error)
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

// starters return a side with the error that came after its first process was
// started, so that it can be stopped.
var starters = map[string]func(context.Context, string) (*side, error){
	"selvage":  startSelvage,
	"workerd":  startWorkerd,
	"wrangler": startWrangler,
	"nginx":    startNginx,
}

// one is a target with the request of a row.
func one(r row, addr, host string) []target {
	return []target{{addr: addr, requests: [][]byte{r.request(host)}}}
}

// prepare waits until addr answers a GET of path for host, which fills the
// stores of the Worker there.
func (s *side) prepare(ctx context.Context, addr, host, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		err := get(ctx, addr, host, path)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w\n%s", err, s.output.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, addr, host, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return err
	}
	request.Host = host
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 500))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s%s: %s: %s", host, path, response.Status, body)
	}
	return nil
}

// stop ends all processes.
func (s *side) stop() { s.stopAfter(0) }

// stopAfter ends those that were started after the first n.
func (s *side) stopAfter(n int) {
	for _, p := range s.processes[n:] {
		syscall.Kill(-p.Process.Pid, syscall.SIGKILL) // the whole group
		p.Wait()
	}
	s.processes = s.processes[:n]
}

// unpack writes the projects into dir/name and returns that folder.
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

// freeAddr is an address of loopback that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

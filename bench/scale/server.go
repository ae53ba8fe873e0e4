package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/selvage-edge/selvage/internal/servertest"
)

// server is `selvage serve` as a process of its own.
type server struct {
	program, data  string
	edge, admin    string // host:port
	account, token string
	client         *http.Client
	cmd            *exec.Cmd
}

// newServer builds selvage and starts it on an empty data directory.
func newServer(ctx context.Context, dir string) (*server, error) {
	s := &server{
		program: filepath.Join(dir, "selvage"), data: filepath.Join(dir, "data"),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute},
	}
	if err := servertest.Build(ctx, s.program); err != nil {
		return nil, err
	}
	var err error
	if s.edge, err = freeAddress(); err != nil {
		return nil, err
	}
	if s.admin, err = freeAddress(); err != nil {
		return nil, err
	}
	if s.token, err = s.output("token", "create", "--name", "scale"); err != nil {
		return nil, err
	}
	if s.account, err = s.output("account"); err != nil {
		return nil, err
	}
	_, err = s.start(ctx)
	return s, err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (s *server) output(args ...string) (string, error) {
	out, err := exec.Command(s.program, append(args, "--data", s.data)...).Output()
	return strings.TrimSpace(string(out)), err
}

// start returns when the server is ready, with how long that took.
func (s *server) start(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	s.cmd = exec.CommandContext(ctx, s.program, "serve", "--data", s.data, "--listen", s.edge, "--admin", s.admin, "--log-level", "warn")
	s.cmd.Stderr = os.Stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "Ready on ") {
		return 0, fmt.Errorf("the server did not start: %q %w", line, err)
	}
	return time.Since(begin), nil
}

// stop ends the server gracefully, once.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	s.client.CloseIdleConnections()
	cmd := s.cmd
	s.cmd = nil
	return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
}

// deploy uploads a Worker and gives it its host.
func (s *server) deploy(name, source string) error {
	if err := s.upload(name, source); err != nil {
		return err
	}
	return s.api("POST", name+"/subdomain", "application/json", strings.NewReader(`{"enabled":true}`))
}

func (s *server) upload(name, source string) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	w.WriteField("metadata", `{"main_module":"index.js","compatibility_date":"2026-01-01"}`)
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="index.js"; filename="index.js"`}, "Content-Type": {"application/javascript+module"},
	})
	if err != nil {
		return err
	}
	io.WriteString(part, source)
	w.Close()
	return s.api("PUT", name, w.FormDataContentType(), &form)
}

func (s *server) api(method, path, contentType string, body io.Reader) error {
	req, err := http.NewRequest(method, "http://"+s.admin+"/client/v4/accounts/"+s.account+"/workers/scripts/"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", contentType)
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var envelope struct {
		Success bool
		Errors  json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&envelope); err != nil || !envelope.Success {
		return fmt.Errorf("%s %s: %s: %s %w", method, path, res.Status, envelope.Errors, err)
	}
	return nil
}

func (s *server) get(worker string) (string, error) {
	req, err := http.NewRequest("GET", "http://"+s.edge+"/", nil)
	if err != nil {
		return "", err
	}
	req.Host = worker + ".localhost"
	res, err := s.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", worker, res.Status, text)
	}
	return string(text), err
}

func (s *server) ask(worker string) error {
	_, err := s.get(worker)
	return err
}

// cpu is the processor time that the server's own process has used.
func (s *server) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("unexpected form of /proc/pid/stat: %s", text)
	}
	var ticks time.Duration
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += time.Duration(n)
	}
	return ticks * time.Second / 100, nil // USER_HZ is 100 on Linux
}

// memory is the proportional set size of the server and of its cells, in bytes:
// pages that several processes share count once.
func (s *server) memory() (int64, error) {
	own := strconv.Itoa(s.cmd.Process.Pid)
	pids := []string{own}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		status, err := os.ReadFile(filepath.Join("/proc", e.Name(), "status"))
		if err == nil && strings.Contains(string(status), "\nPPid:\t"+own+"\n") {
			pids = append(pids, e.Name())
		}
	}
	var sum int64
	for _, pid := range pids {
		text, err := os.ReadFile(filepath.Join("/proc", pid, "smaps_rollup"))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), "\nPss:")
		var kb int64
		fmt.Sscan(rest, &kb)
		sum += kb << 10
	}
	return sum, nil
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/selvage-edge/selvage/internal/servertest"
)

// server is a running `selvage serve` with the S3 API.
type server struct {
	// endpoint is the URL of the S3 API.
	endpoint string
	keys     []accessKey
	// stop ends the server gracefully.
	stop func() error
}

// accessKey may do everything with all buckets.
type accessKey struct {
	ID     string `json:"access_key_id"`
	Secret string `json:"secret_access_key"`
}

// start builds selvage, makes access keys and starts a server on an empty data
// directory in dir.
func start(dir string, keys int) (*server, error) {
	selvage, err := servertest.Program()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	s := &server{}
	for i := range keys {
		out, err := exec.Command(selvage, "r2", "key", "create", "--name", fmt.Sprint("key ", i), "--admin", "--json", "--data", data).Output()
		if err != nil {
			return nil, fmt.Errorf("make an access key: %w", withStderr(err))
		}
		var k accessKey
		if err := json.Unmarshal(out, &k); err != nil {
			return nil, fmt.Errorf("make an access key: %w", err)
		}
		s.keys = append(s.keys, k)
	}
	cmd := exec.Command(selvage, "serve", "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--s3", "127.0.0.1:0", "--log-format", "json")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var log bytes.Buffer
	told, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintf(&log, "%s\n", lines.Bytes())
			var line struct{ Msg, URL string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "S3 API" {
				told <- line.URL
			}
		}
	}()
	s.stop = sync.OnceValue(func() error {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("selvage serve: %w\n%s", err, &log)
		}
		return nil
	})
	select {
	case s.endpoint = <-told:
		return s, nil
	case <-ended:
		return nil, fmt.Errorf("selvage serve ended before it was ready: %w\n%s", cmd.Wait(), &log)
	}
}

// withStderr is the error of a program with what the program said.
func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}

// command runs a program in dir with nothing of this process's environment but
// PATH, and returns what it printed.
func command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + dir, "LANG=C.UTF-8"}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

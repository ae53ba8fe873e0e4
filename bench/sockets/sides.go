package main

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/selvage-edge/selvage/engine/workerd"
)

//go:embed worker
var project embed.FS

// side is one system under measurement: a process, and perhaps a workerd that
// it has started.
type side struct {
	address, host string // where it listens, and the host to ask for
	process       *exec.Cmd
}

// starter starts a side with its files in a folder.
type starter func(ctx context.Context, dir string) (*side, error)

func startWorkerd(ctx context.Context, dir string) (*side, error) {
	binary, err := workerd.Binary(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	if dir, err = unpack(dir); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	objects := filepath.Join(dir, "objects")
	file := filepath.Join(dir, "config.capnp")
	config := fmt.Appendf(nil, `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "objects", disk = (path = %q, writable = true)),
    (name = "sockets", worker = (
      modules = [(name = "index.js", esModule = embed "worker/index.js")], compatibilityDate = "2026-04-01",
      durableObjectNamespaces = [(className = "Room", uniqueKey = "room", enableSql = true)],
      durableObjectStorage = (localDisk = "objects"), bindings = [(name = "ROOM", durableObjectNamespace = "Room")])),
  ],
  sockets = [(name = "http", address = %q, http = (), service = "sockets")],
);
`, objects, address)
	if err := errors.Join(os.Mkdir(objects, 0o700), os.WriteFile(file, config, 0o600)); err != nil {
		return nil, err
	}
	return begin(ctx, address, exec.CommandContext(ctx, binary, "serve", "--experimental", file))
}

// unpack copies the project into a new folder below dir.
func unpack(dir string) (string, error) {
	dir, err := os.MkdirTemp(dir, "side-")
	if err != nil {
		return "", err
	}
	return dir, os.CopyFS(dir, project)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// begin starts the command and waits until somebody listens at address.
func begin(ctx context.Context, address string, cmd *exec.Cmd) (*side, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &side{address: address, host: address, process: cmd}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return s, nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			s.stop()
			return nil, err
		}
	}
}

func (s *side) stop() {
	syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL) // the whole group
	s.process.Wait()
}

// memory is the proportional set size, in bytes, of the side's processes that
// are not workerd, and of those that are.
func (s *side) memory() (server, engine int64) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, _ := os.ReadFile(file)
		pid, rest, _ := strings.Cut(string(text), " (")
		name, rest, _ := strings.Cut(rest, ") ")
		fields := strings.Fields(rest)
		if own := strconv.Itoa(s.process.Process.Pid); len(fields) < 3 || pid != own && fields[1] != own { // nor its child
			continue
		}
		if name == "workerd" {
			engine += pss(pid)
		} else {
			server += pss(pid)
		}
	}
	return server, engine
}

func pss(pid string) int64 {
	f, err := os.Open("/proc/" + pid + "/smaps_rollup")
	if err != nil {
		return 0
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

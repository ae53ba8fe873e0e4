//go:build linux

package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestMain lets this binary be the confined program too: with TRY set it
// attempts what a sandbox should stop and prints what happened.
func TestMain(m *testing.M) {
	if os.Getenv("TRY") == "" {
		os.Exit(m.Run())
	}
	json.NewEncoder(os.Stdout).Encode(attempt(os.Getenv("ALLOWED"), os.Getenv("SECRET"), os.Getenv("SOCKET")))
	io.Copy(io.Discard, os.Stdin) // until it has been looked at
}

// attempt reports which acts succeed.
func attempt(allowed, secret, socket string) map[string]bool {
	dial := func(network, address string) error {
		c, err := (&net.Dialer{}).DialContext(context.Background(), network, address)
		if err == nil {
			c.Close()
		}
		return err
	}
	open := func(path string, flag int) error {
		f, err := os.OpenFile(path, flag, 0o600)
		if err == nil {
			f.Close()
		}
		return err
	}
	// A program that is not there is noticed after the namespace was made.
	_, namespace := os.StartProcess("/no such program", []string{""}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}})
	_, _, unshare := syscall.RawSyscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWUTS, 0, 0)
	return map[string]bool{
		"write an allowed folder": open(filepath.Join(allowed, "new"), os.O_CREATE|os.O_WRONLY) == nil,
		"read another file":       open(secret, os.O_RDONLY) == nil,
		"write another folder":    open(secret+".new", os.O_CREATE|os.O_WRONLY) == nil,
		"read /etc/passwd":        open("/etc/passwd", os.O_RDONLY) == nil,
		"dial a unix socket":      dial("unix", socket) == nil,
		"dial TCP":                dial("tcp", os.Getenv("TCP")) == nil,
		"listen on TCP":           func() bool { l, err := net.Listen("tcp", "127.0.0.1:0"); return err == nil && l.Close() == nil }(),
		"leave its namespace":     unshare == 0,
		"make a namespace":        errors.Is(namespace, fs.ErrNotExist),
		"run another program":     exec.Command("/bin/true").Run() == nil,
	}
}

func TestConfinedProcess(t *testing.T) {
	for _, m := range Probe() {
		if !m.InForce && m.Name != "socket files" { // needs Linux 7
			t.Fatalf("this machine lacks %s: %s", m.Name, m.Detail)
		}
	}
	dir := t.TempDir()
	allowed, secret, socket := filepath.Join(dir, "allowed"), filepath.Join(dir, "secret"), filepath.Join(dir, "socket")
	if err := os.Mkdir(allowed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	unixListener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer unixListener.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()

	run := func(confine bool) map[string]bool {
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{"TRY=1", "ALLOWED=" + allowed, "SECRET=" + secret, "SOCKET=" + socket, "TCP=" + tcp.Addr().String()}
		cmd.Stderr = os.Stderr
		if confine {
			if err := (Policy{ReadWrite: []string{allowed}}).Prepare(cmd); err != nil {
				t.Fatal(err)
			}
		}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var did map[string]bool
		if err := json.NewDecoder(stdout).Decode(&did); err != nil {
			t.Fatal(err)
		}
		points, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		did["go before the server"] = len(points) > 3 && points[0] != '-' // 500 or more
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		return did
	}
	may := map[string]bool{"write an allowed folder": true, "dial a unix socket": true, "go before the server": true}
	for act, did := range run(true) {
		if did != may[act] {
			t.Errorf("confined process: %s: %v, want %v", act, did, may[act])
		}
	}
	for act, did := range run(false) {
		if !did && act != "leave its namespace" && act != "go before the server" { // the first needs root
			t.Errorf("unconfined process cannot %s: the test proves nothing", act)
		}
	}
}

//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets this binary be the bounded process too: it says where it is and
// then takes so many MiB.
func TestMain(m *testing.M) {
	take, err := strconv.Atoi(os.Getenv("TAKE"))
	if err != nil {
		os.Exit(m.Run())
	}
	own, _ := os.ReadFile("/proc/self/cgroup")
	fmt.Print(string(own))
	var kept [][]byte
	for range take {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 512 {
			b[i] = 1
		}
		kept = append(kept, b)
	}
	fmt.Println("has", len(kept))
}

// The kernel bounds processes where this one may make groups. Most machines on
// which tests run do not let it; conformance/systemd has one that does, and
// insists by SELVAGE_CGROUPS=required.
func TestKernel(t *testing.T) {
	tree, err := Take()
	if err != nil {
		if os.Getenv("SELVAGE_CGROUPS") == "required" {
			t.Fatal(err)
		}
		if inForce, why := Examine(os.Getpid()); inForce || why == nil || why.Error() != err.Error() {
			t.Errorf("Take says %v, Examine %v %v", err, inForce, why)
		}
		t.Logf("this machine: %v", err)
		return
	}
	if inForce, err := Examine(os.Getpid()); !inForce {
		t.Errorf("not in force: %v", err)
	}
	if again, err := Take(); again != tree || err != nil {
		t.Errorf("taken again: %v %v", again, err)
	}
	run := func(t *testing.T, limit int64, mebibytes int) (output string, e Events, err error) {
		g, err := tree.New(limit)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{"TAKE=" + strconv.Itoa(mebibytes)}
		g.Contain(cmd)
		out, err := cmd.Output()
		e = g.End()
		if !strings.HasSuffix(strings.SplitN(string(out), "\n", 2)[0], "/"+filepath.Base(g.dir)) {
			t.Errorf("born in %q, not in %s", out, g.dir)
		}
		if _, err := os.Stat(g.dir); err == nil {
			t.Errorf("%s is left", g.dir)
		}
		return string(out), e, err
	}
	t.Run("within the limit", func(t *testing.T) {
		out, e, err := run(t, 256<<20, 64)
		if err != nil || !strings.HasSuffix(out, "has 64\n") || e != (Events{}) {
			t.Errorf("%q %v %+v", out, err, e)
		}
	})
	t.Run("beyond it", func(t *testing.T) {
		_, e, err := run(t, 64<<20, 256)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || e.OOM == 0 || e.Killed == 0 {
			t.Errorf("%v %+v", err, e)
		}
	})
	t.Run("what killed servers leave", func(t *testing.T) {
		gone := exec.Command("/proc/self/exe", "-test.run=^$")
		if err := gone.Run(); err != nil {
			t.Fatal(err)
		}
		stale := fmt.Sprintf("%s%d-1", cellGroup, gone.Process.Pid)
		for name, stays := range map[string]bool{stale: false, cellGroup + "1-1": true, "other": true} {
			dir := filepath.Join(tree.dir, name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			tree.sweep(os.Getpid())
			if _, err := os.Stat(dir); (err == nil) != stays {
				t.Errorf("%s: %v", name, err)
			}
			os.Remove(dir)
		}
	})
}

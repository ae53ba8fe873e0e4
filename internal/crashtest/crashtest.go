// Package crashtest kills a process in the middle of its work, for tests of
// what must be there afterwards.
//
// The process is the test binary itself, running the same test: Child, called
// first, is where the two part.
//
//	func TestKill(t *testing.T) {
//		crashtest.Child(write)
//		dir := t.TempDir()
//		for range rounds {
//			c := crashtest.Start(t, dir)
//			for line := range c.Lines() {
//				// line was acknowledged; c.Kill() when it is time
//			}
//			// look at what is left in dir
//		}
//	}
package crashtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// variable holds the arguments of a child, as JSON.
const variable = "SELVAGE_CRASHTEST"

// patience bounds the life of a child that nobody kills.
const patience = time.Minute

// Child runs work in the process that is to be killed, with the arguments
// given to Start, and returns at once in every other. work goes on until it is
// killed and tells by lines on standard output what it has done; if it
// returns, the process ends with its error.
func Child(work func(args []string) error) {
	text, ok := os.LookupEnv(variable)
	if !ok {
		return
	}
	os.Unsetenv(variable) // for the processes that work starts
	var args []string
	err := json.Unmarshal([]byte(text), &args)
	if err == nil {
		err = work(args)
	}
	fmt.Fprintln(os.Stderr, "the work ended by itself:", err)
	os.Exit(1)
}

// Process is a child that has been started.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	out    io.Reader
	stderr strings.Builder
}

// Start runs the current test once more, in a process where Child does its
// work. It must be called from the function of a test or its subtests.
func Start(t testing.TB, args ...string) *Process {
	t.Helper()
	text, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	c := &Process{t: t, cmd: exec.Command(os.Args[0], "-test.run=^"+name+"$")}
	c.cmd.Env = append(os.Environ(), variable+"="+string(text))
	c.cmd.Stderr = &c.stderr
	if c.out, err = c.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill) // also where the test ends early
	return c
}

// Kill ends the process with SIGKILL. Lines goes on with what it wrote before.
func (c *Process) Kill() { c.cmd.Process.Kill() }

// Lines yields the lines that the process prints, and returns when it is dead.
// A line that the kill cut off is left out: nothing was acknowledged by it.
// Leaving the loop kills the process. Any other end than by SIGKILL, and a
// minute without one, end the test.
func (c *Process) Lines() iter.Seq[string] {
	return func(yield func(string) bool) {
		c.t.Helper()
		var last string
		overdue := time.AfterFunc(patience, c.Kill)
		for lines := bufio.NewReader(c.out); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				break
			}
			last = line
			if !yield(strings.TrimSuffix(line, "\n")) {
				c.Kill()
				break
			}
		}
		inTime := overdue.Stop()
		err := c.cmd.Wait()
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if !killed {
			c.t.Fatalf("the process ended before it was killed: %v\nlast line: %s%s", err, last, c.stderr.String())
		}
		if !inTime {
			c.t.Fatalf("nobody killed the process for %v\nlast line: %s%s", patience, last, c.stderr.String())
		}
	}
}

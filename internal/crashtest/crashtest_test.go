package crashtest_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/crashtest"
)

// work counts for ever, and never ends the line of what it does not
// acknowledge. "ends" as its argument makes it stop by itself.
func work(args []string) error {
	for i := range 1000 {
		fmt.Println("done", i)
		if i == 5 && args[0] == "ends" {
			return errors.New("out of numbers")
		}
	}
	os.Stdout.WriteString("done 10")
	select {}
}

func TestKill(t *testing.T) {
	crashtest.Child(work)
	c := crashtest.Start(t, "goes on")
	n := 0
	for line := range c.Lines() {
		if want := fmt.Sprint("done ", n); line != want {
			t.Fatalf("line %q, want %q", line, want)
		}
		if n++; n == 1000 {
			c.Kill()
		}
	}
	if n != 1000 {
		t.Errorf("%d lines, want all that were whole", n)
	}
}

func TestLeavingTheLoopKills(t *testing.T) {
	crashtest.Child(work)
	for range crashtest.Start(t, "goes on").Lines() {
		break
	}
}

// fatal is a test that may fail.
type fatal struct {
	testing.TB
	said string
}

func (f *fatal) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestEndingByItselfFails(t *testing.T) {
	crashtest.Child(work)
	f := &fatal{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range crashtest.Start(f, "ends").Lines() {
		}
	}()
	<-done
	for _, want := range []string{"ended before it was killed", "last line: done 5", "out of numbers"} {
		if !strings.Contains(f.said, want) {
			t.Errorf("said %q, want %q", f.said, want)
		}
	}
}

func TestWrites(t *testing.T) {
	crashtest.Child(func([]string) error {
		for n := 1; ; n++ {
			fmt.Println("start a", n)
			fmt.Println("start b", n)
			fmt.Println("done a", n)
		}
	})
	w := crashtest.Start(t).Writes(5)
	if a, b := w["a"], w["b"]; len(w) != 2 || a.Acked < 5 || a.Started < a.Acked || a.Started > a.Acked+1 || b.Acked != 0 || b.Started < 5 {
		t.Errorf("a %+v, b %+v", a, b)
	}
}

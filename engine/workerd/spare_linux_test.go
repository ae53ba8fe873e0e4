package workerd

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

func startSpare(t *testing.T, socket *os.File) *Spare {
	t.Helper()
	if SpareLife() <= 0 {
		t.Fatal("the administrator's lease-break-time leaves no time for spares")
	}
	s, err := StartSpare(Options{Binary: binary(t), Config: &Config{Sockets: []Socket{{Name: "main"}}}, Sockets: map[string]*os.File{"main": socket}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A spare becomes the process of whatever configuration it is given.
func TestSpare(t *testing.T) {
	socket, client := listen(t)
	s := startSpare(t, socket)
	var mu sync.Mutex
	var lines []Line
	p, err := s.Start(t.Context(), module(`export default { fetch() { console.log("asked"); return new Response("hello") } }`),
		func(l Line) { mu.Lock(); lines = append(lines, l); mu.Unlock() })
	if err != nil {
		t.Fatal(err)
	}
	if text := get(t, client, "http://x/"); text != "hello" || p.StartTime <= 0 {
		t.Errorf("answer %q, started in %v", text, p.StartTime)
	}
	poll.Until(t, "the line", func() bool { mu.Lock(); defer mu.Unlock(); return len(lines) == 1 && lines[0].Message == "asked" })
	p.Kill()
	p.Wait()
}

func TestSpareWithABrokenScript(t *testing.T) {
	socket, _ := listen(t)
	_, err := startSpare(t, socket).Start(t.Context(), module(`export default {`), nil)
	if se, ok := errors.AsType[*StartError](err); !ok {
		t.Errorf("error %v", err)
	} else if se.Message == "" {
		t.Error("no message")
	}
}

// Of a spare that has ended, nothing is tried, and its sockets serve another.
func TestSpareThatIsSpent(t *testing.T) {
	socket, client := listen(t)
	s := startSpare(t, socket)
	if s.Stale() {
		t.Error("a new spare is stale")
	}
	syscall.Kill(s.PID(), syscall.SIGKILL)
	poll.Until(t, "its end", s.Stale)
	config := module(`export default { fetch() { return new Response("another") } }`)
	if _, err := s.Start(t.Context(), config, nil); err != ErrSpent {
		t.Errorf("error %v", err)
	}
	p, err := Start(t.Context(), Options{Binary: binary(t), Config: config, Sockets: map[string]*os.File{"main": socket}})
	if err != nil {
		t.Fatal(err)
	}
	if text := get(t, client, "http://x/"); text != "another" {
		t.Errorf("answer %q", text)
	}
	p.Kill()
	p.Wait()
}

func TestSpareLife(t *testing.T) {
	for text, want := range map[string]time.Duration{"45\n": 30 * time.Second, "25\n": 10 * time.Second, "24\n": 0, "0\n": 0, "-1\n": 0, "": 0, "soon\n": 0} {
		if got := spareLife(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// A lease that the kernel has taken away cannot be returned.
func TestLease(t *testing.T) {
	f, err := leasedFile()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := returnLease(f); err != nil {
		t.Error(err)
	}
	if err := returnLease(f); err == nil {
		t.Error("a lease is returned twice")
	}
}

func TestSpareIsDiscarded(t *testing.T) {
	socket, _ := listen(t)
	s := startSpare(t, socket)
	s.Discard()
	if err := syscall.Kill(s.PID(), 0); err != syscall.ESRCH {
		t.Errorf("the process is there: %v", err)
	}
}

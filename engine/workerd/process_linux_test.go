package workerd

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseThreadStat(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7 (workerd) S 1 7 7 0 -1 4194560 9 0 0 0 12 3 0 0 20 0 5 0 100 1 2\n":          150 * time.Millisecond,
		"7 (a) b) S (c) R 1 7 7 0 -1 4194560 9 0 0 0 12 3 0 0 20 0 5 0 100 1 2 3 4 5\n": 150 * time.Millisecond, // the name is "a) b) S (c"
		"7 (:) 99 88) S 1 7 7 0 -1 4194560 9 0 0 0 0 1 0 0":                             10 * time.Millisecond,
		"7 (workerd) S 1 7 7 0 -1 4194560 9 0 0 0 x 3 0 0 20":                           -1,
		"7 (workerd) S 1 7": -1,
		"":                  -1,
	} {
		got, err := parseThreadStat([]byte(text))
		if want < 0 {
			want = 0
			if err == nil {
				t.Errorf("%q: %v, want an error", text, got)
			}
		} else if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzThread(f *testing.F) {
	f.Add([]byte("120870 182861 2\n"))
	f.Add([]byte("7 (workerd) S 1 7 7 0 -1 4194560 9 0 0 0 12 3 0 0 20 0 5 0 100 1 2\n"))
	f.Add([]byte("7 (a) b) S 1 7 7 0 -1 4194560 9 0 0 0 1099511627775 1099511627775"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if d, err := parseThreadStat(text); d < 0 || err != nil && d != 0 {
			t.Errorf("stat: %v, %v", d, err)
		}
		if d, err := parseSchedstat(text); d < 0 || err != nil && d != 0 {
			t.Errorf("schedstat: %v, %v", d, err)
		}
	})
}

// What the Worker computes is time of the first thread.
func TestThread(t *testing.T) {
	socket, client := listen(t)
	p, err := Start(t.Context(), Options{Binary: binary(t), Config: module(`export default { fetch(r) {
  let x = 1;
  for (let i = 0; i < 5e7; i++) x = Math.imul(x ^ i, 0x9e3779b1);
  return new Response(String(x));
} }`), Sockets: map[string]*os.File{"main": socket}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Wait()
	defer p.Kill()
	before, err := p.Thread()
	if err != nil {
		t.Fatal(err)
	}
	all, _ := p.Usage()
	get(t, client, "http://x/")
	after, err := p.Thread()
	if err != nil {
		t.Fatal(err)
	}
	now, _ := p.Usage()
	if thread, process := after-before, now.CPU-all.CPU; thread < process/2 || thread <= 0 {
		t.Errorf("the thread had %v of %v", thread, process)
	}
	p.Kill()
	_ = p.Wait()
	if _, err := p.Thread(); err == nil {
		t.Error("a process that has ended has a thread")
	}
}

// A process may open as many files as the hard limit says, whatever the soft
// limit that we were started with.
func TestDescriptors(t *testing.T) {
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	// What is set explicitly is what children get.
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: own.Max / 2, Max: own.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &own)
	socket, _ := listen(t)
	p, err := Start(t.Context(), Options{Binary: binary(t), Config: module(`export default { fetch() {} }`), Sockets: map[string]*os.File{"main": socket}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Wait()
	defer p.Kill()
	var got unix.Rlimit
	if err := unix.Prlimit(p.PID(), unix.RLIMIT_NOFILE, nil, &got); err != nil || got.Cur != own.Max {
		t.Errorf("the process may open %d files, %v, want %d", got.Cur, err, own.Max)
	}
}

func TestParseSchedstat(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"120870 182861 2\n": 120870,
		"0 0 0\n":           0,
		"-1 0 0\n":          -1,
		"x\n":               -1,
		"":                  -1,
	} {
		got, err := parseSchedstat([]byte(text))
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func BenchmarkThread(b *testing.B) {
	f := openThread(os.Getpid())
	defer f.Close()
	for b.Loop() {
		if _, err := f.read(); err != nil {
			b.Fatal(err)
		}
	}
}

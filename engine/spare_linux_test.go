package engine

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/poll"
)

// children are the processes that this one has started.
func children(t testing.TB) (pids []int) {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/children")
		if err != nil {
			continue // the thread has ended
		}
		for word := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// newSpareBench has a cell that runs, and a spare.
func newSpareBench(t *testing.T) (b *bench, spare int) {
	b = newBench(t, func(o *Options) { o.Spare, o.Confine = true, true })
	b.deploy(b.version("first", `export default { fetch() { return new Response("first") } }`))
	if n := len(children(t)); n > 0 {
		t.Errorf("%d processes run before any is needed", n)
	}
	b.want("/first/", "first")
	return b, b.nextSpare(2)
}

// nextSpare waits until there are n processes, one of which is no cell's, and
// returns that.
func (b *bench) nextSpare(n int) (pid int) {
	b.t.Helper()
	poll.Until(b.t, "the spare", func() bool { return len(b.spares) == 1 && len(children(b.t)) == n })
	for _, p := range children(b.t) {
		if !slices.ContainsFunc(b.Cells(), func(c CellInfo) bool { return c.PID == p }) {
			pid = p
		}
	}
	return pid
}

// A cell takes the spare process, confined as any other, and the next one finds
// another.
func TestSpare(t *testing.T) {
	b, spare := newSpareBench(t)
	for n := range 2 {
		name := fmt.Sprintf("web%d", n)
		b.deploy(b.version(name, `export default { async fetch(r, env) { return new Response("hello " + env.TEXT) } }`, bound(t, "TEXT", "plain_text", map[string]string{"text": "there"})))
		b.want("/"+name+"/", "hello there")
		c, _ := b.cellOf(name)
		if c.PID != spare {
			t.Errorf("%s runs in process %d, and %d was kept ahead", name, c.PID, spare)
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.PID))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000"} {
			if os.Geteuid() != 0 && strings.HasPrefix(want, "CapBnd") {
				continue // there is nothing to drop
			}
			if !strings.Contains(string(status), want) {
				t.Errorf("the status lacks %q:\n%s", want, status)
			}
		}
		spare = b.nextSpare(n + 3)
	}
}

// What needs more than a spare was given leaves it alone.
func TestSpareIsNotForEveryCell(t *testing.T) {
	b, spare := newSpareBench(t)
	b.deploy(b.counter(0))
	b.want("/do/", "1")
	b.deploy(b.version("callee", `export default { fetch() { return new Response("called") } }`))
	b.deploy(b.version("caller", `export default { fetch(r, env) { return env.CALLEE.fetch(r) } }`, bound(t, "CALLEE", "service", map[string]string{"service": "callee"})))
	b.want("/caller/", "called")
	for _, name := range []string{"do", "caller", "callee"} {
		if c, ok := b.cellOf(name); !ok || c.PID == spare {
			t.Errorf("%s runs in process %d (%v), which was kept ahead", name, c.PID, ok)
		}
	}
	b.deploy(b.version("plain", `export default { fetch() { return new Response("plain") } }`))
	b.want("/plain/", "plain")
	if c, _ := b.cellOf("plain"); c.PID != spare {
		t.Errorf("the plain Worker runs in process %d, and %d was kept ahead", c.PID, spare)
	}
}

// A spare that has died is no reason for a cell not to start, and a script that
// does not start says why.
func TestSpareThatCannotBeUsed(t *testing.T) {
	b, spare := newSpareBench(t)
	if p, err := os.FindProcess(spare); err != nil || p.Kill() != nil {
		t.Fatal(err)
	}
	b.deploy(b.version("web", `export default { fetch() { return new Response("hello") } }`))
	b.want("/web/", "hello")
	if c, _ := b.cellOf("web"); c.PID == spare {
		t.Error("the dead process serves")
	}
	b.deploy(b.version("broken", `export default { fetch() {`))
	if status, text, _ := b.ask("/broken/"); status != 503 || !strings.Contains(text, "Unexpected end of input") {
		t.Errorf("a broken script: %d %s", status, text)
	}
}

package engine

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/internal/poll"
)

// prepared makes v ready, deploys it with the previews and finishes.
func (b *bench) prepared(v *config.Version, previews ...*config.Version) {
	b.t.Helper()
	shares := []config.Share{{Version: v, Percentage: 100}}
	finish, err := b.Prepare(b.t.Context(), v.Worker, shares)
	if err != nil {
		b.t.Fatal(err)
	}
	b.deployWorker(&config.Worker{Name: v.Worker, Shares: shares, Previews: previews})
	finish()
}

// says is a Worker that answers with a number, over RPC as well.
func (b *bench) says(worker string, n int) *config.Version {
	return b.version(worker, fmt.Sprintf(`import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint { get() { return "%[1]d" } fetch() { return new Response("%[1]d") } }`, n))
}

// count tells how many cells of a Worker run and how many of those drain.
func (b *bench) count(worker string) (running, draining int) {
	for _, c := range b.Cells() {
		switch {
		case c.Worker != worker:
		case c.State == "running":
			running++
		default:
			draining++
		}
	}
	return running, draining
}

// The first request after a deployment is answered by the new version, whose
// cell has been started before it; and deployments in a row leave one cell, and
// at most one more that drains. So it is with preview URLs and without.
func TestDeployedVersionAnswersAtOnce(t *testing.T) {
	for _, previews := range []bool{false, true} {
		t.Run(fmt.Sprintf("previews=%t", previews), func(t *testing.T) {
			b := newBench(t, nil)
			var earlier []*config.Version
			for n := 1; n <= 13; n++ {
				v := b.says("web", n)
				b.prepared(v, earlier...)
				if starts := b.Stats().Starts; starts != n {
					t.Errorf("%d cells were started by %d deployments", starts, n)
				}
				b.want("/web/", fmt.Sprint(n))
				if starts := b.Stats().Starts; starts != n {
					t.Errorf("the first request of version %d has started a cell", n)
				}
				if running, draining := b.count("web"); running != 1 || draining > 1 {
					t.Errorf("after %d deployments %d cells run and %d drain", n, running, draining)
				}
				if previews {
					earlier = append(earlier, v)
				}
			}
		})
	}
}

// The cell of a replaced version ends, and one that somebody asks for by the
// preview URL starts and goes when it is idle.
func TestReplacedVersionIsAPreview(t *testing.T) {
	b := newBench(t, func(o *Options) { o.IdleAfter, o.StuckAfter = time.Second, 2*time.Second })
	one, two := b.says("web", 1), b.says("web", 2)
	b.prepared(one)
	old, _ := b.cellOf("web")
	b.prepared(two, one)
	b.want("/web/", "1", "Version", one.ID)
	b.want("/web/", "2")
	poll.Until(t, "the replaced cell is gone", func() bool { return !process(old.PID) })
	if b.Stats().Starts < 3 {
		t.Error("the preview was answered by the replaced cell")
	}
	poll.Until(t, "idle cells are gone", func() bool { return len(b.Cells()) == 0 })
	b.want("/web/", "1", "Version", one.ID)
}

// Calls of other Workers reach the new version once finish has returned, by
// fetch() and by RPC, over the connections that they keep.
func TestDeployedCalleeAnswersAtOnce(t *testing.T) {
	for _, call := range []string{`await (await env.C.fetch("http://c/")).text()`, `await env.C.get()`} {
		for _, load := range []int{0, 2} {
			t.Run(fmt.Sprintf("%s load=%d", call, load), func(t *testing.T) {
				b := newBench(t, nil)
				b.prepared(b.says("callee", 0))
				b.prepared(b.version("front", `export default { async fetch(r, env) { return new Response(`+call+`) } }`,
					bound(t, "C", "service", map[string]any{"service": "callee"})))
				b.want("/front/", "0")
				stop := b.load("/front/", load)
				for n := 1; n <= 2; n++ {
					b.prepared(b.says("callee", n))
					b.want("/front/", fmt.Sprint(n))
					b.want("/front/", fmt.Sprint(n))
				}
				if n, err := stop(); err != nil {
					t.Errorf("%d requests, first failure: %v", n, err)
				}
			})
		}
	}
}

// A version that does not start is told why, and whatever serves goes on.
func TestPrepareFails(t *testing.T) {
	b := newBench(t, nil)
	old := b.says("web", 1)
	b.prepared(old)
	b.want("/web/", "1")
	before, _ := b.cellOf("web")
	stop := b.load("/web/", 2)
	for _, c := range []struct {
		version *config.Version
		text    string
	}{
		{b.version("web", "throw new Error('at the top');\nexport default {}"), "at the top"},
		{b.version("web", "export default {}", bound(t, "X", "nothing", nil)), "no kind of binding"},
	} {
		// The good one of two must not stay either.
		_, err := b.Prepare(t.Context(), "web", []config.Share{{Version: b.says("web", 2), Percentage: 60}, {Version: c.version, Percentage: 40}})
		if f := asFault(t, err, fault.StartFailed); !strings.Contains(f.Message, c.text) {
			t.Errorf("it says %q, not %q", f.Message, c.text)
		}
	}
	_, err := b.Prepare(t.Context(), "web", []config.Share{{Version: b.version("web", "throw new Error('mine')"), Percentage: 100}})
	var mine *workerd.StartError
	if !errors.As(err, &mine) {
		t.Errorf("an error of the script is %v", err)
	}
	if n, err := stop(); err != nil {
		t.Errorf("%d requests, first failure: %v", n, err)
	}
	b.want("/web/", "1")
	poll.Until(t, "only the old cell runs", func() bool { c := b.Cells(); return len(c) == 1 && c[0].PID == before.PID })
}

// A deployment that is not made after all leaves no trace: no call reaches its
// version when finish has returned.
func TestPreparedButNotDeployed(t *testing.T) {
	b := newBench(t, nil)
	b.prepared(b.says("callee", 1))
	b.prepared(b.version("front", `export default { async fetch(r, env) { return new Response(await env.C.get()) } }`,
		bound(t, "C", "service", map[string]any{"service": "callee"})))
	b.want("/front/", "1")
	finish, err := b.Prepare(t.Context(), "callee", []config.Share{{Version: b.says("callee", 2), Percentage: 100}})
	if err != nil {
		t.Fatal(err)
	}
	b.want("/callee/", "1")
	if _, err := b.Prepare(t.Context(), "callee", nil); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("a second deployment at the same time: %v", err)
	}
	finish()
	finish() // does no harm
	for range 5 {
		b.want("/front/", "1")
		b.want("/callee/", "1")
	}
	b.prepared(b.says("callee", 3))
	b.want("/front/", "3")
}

// Both versions of a gradual deployment have cells before it is made, also as
// their shares change and with them the one that other Workers call.
func TestGradualDeploymentIsReady(t *testing.T) {
	for _, called := range []bool{false, true} {
		t.Run(fmt.Sprintf("called=%t", called), func(t *testing.T) {
			b := newBench(t, nil)
			one, two := b.says("web", 1), b.says("web", 2)
			b.prepared(one)
			if called {
				b.prepared(b.version("front", `export default { async fetch(r, env) { return new Response(await env.C.get()) } }`,
					bound(t, "C", "service", map[string]any{"service": "web"})))
				b.want("/front/", "1")
			}
			for _, share := range []float64{10, 90, 0, 100, 50} {
				shares := []config.Share{{Version: one, Percentage: 100 - share}, {Version: two, Percentage: share}}
				finish, err := b.Prepare(t.Context(), "web", shares)
				if err != nil {
					t.Fatal(err)
				}
				b.deployShares("web", shares...)
				finish()
				starts := b.Stats().Starts
				for v, text := range map[*config.Version]string{one: "1", two: "2"} {
					b.want("/web/", text, versionOverridesHeader, fmt.Sprintf("web=%q", v.ID))
				}
				if called {
					want := "1"
					if share > 50 {
						want = "2"
					}
					for range 3 {
						b.want("/front/", want)
					}
				}
				if b.Stats().Starts != starts {
					t.Errorf("at %g %% a request has started a cell", share)
				}
			}
		})
	}
}

// A Worker with Durable Objects is drained before its successor starts, no
// request fails meanwhile, and a successor that does not start leaves the old
// version in force.
func TestPrepareDurableObjects(t *testing.T) {
	b := newBench(t, nil)
	first := b.counter(0)
	b.prepared(first)
	b.want("/do/", "1")
	stop := b.load("/do/rang", 2)
	broken := b.version("do", "throw new Error('no')", bound(t, "C", "durable_object_namespace", map[string]string{"class_name": "Counter"}))
	broken.Classes = first.Classes
	if _, err := b.Prepare(t.Context(), "do", []config.Share{{Version: broken, Percentage: 100}}); err == nil {
		t.Fatal("a broken version was ready")
	}
	if c, _ := b.cellOf("do"); c.Version != "" && c.Version != first.ID {
		t.Errorf("version %s runs", c.Version)
	}
	b.want("/do/", "2")
	for n := 3; n <= 5; n++ {
		v := b.counter(n)
		b.prepared(v, first)
		if c, _ := b.cellOf("do"); c.Version != v.ID {
			t.Errorf("version %s runs, not %s", c.Version, v.ID)
		}
		if running, draining := b.count("do"); running != 1 || draining != 0 {
			t.Errorf("%d cells run and %d drain", running, draining)
		}
		b.want("/do/", fmt.Sprint(n))
	}
	if n, err := stop(); err != nil {
		t.Errorf("%d requests, first failure: %v", n, err)
	}
	if status, body, _ := b.ask("/do/", "Version", first.ID); status != http.StatusNotFound || !strings.Contains(body, "deployed version only") {
		t.Errorf("a preview with objects: %d %s", status, body)
	}
	// The classes go, and with them the reason to wait.
	b.prepared(b.says("do", 6), first)
	b.want("/do/", "6")
}

// Objects that an idle Worker has are opened by nobody else while the successor
// starts, and a deployment that is not made gives them back.
func TestPrepareDurableObjectsNotDeployed(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.counter(0)) // no cell
	finish, err := b.Prepare(t.Context(), "do", []config.Share{{Version: b.counter(1), Percentage: 100}})
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan string, 1)
	go func() {
		_, body, _ := b.ask("/do/")
		answer <- body
	}()
	poll.Until(t, "a request waits", func() bool { return b.Stats().Waiting == 1 })
	finish()
	if got := <-answer; got != "1" {
		t.Errorf("the request that waited got %q", got)
	}
	if c, _ := b.cellOf("do"); c.Version != "00000001-0000-4000-8000-000000000000" {
		t.Errorf("version %s runs", c.Version)
	}
}

// A Worker without code has nothing to start, and one that nobody knew before is
// ready like any other.
func TestPrepareFirstDeployment(t *testing.T) {
	b := newBench(t, nil)
	files := b.version("site", "")
	files.MainModule = ""
	b.prepared(files)
	if len(b.Cells()) != 0 {
		t.Error("static files have a cell")
	}
	finish, err := b.Prepare(t.Context(), "new", []config.Share{{Version: b.says("new", 1), Percentage: 100}})
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := b.ask("/new/"); status != http.StatusNotFound {
		t.Errorf("before it is deployed it answers %d", status)
	}
	finish()
	poll.Until(t, "its cell is gone", func() bool { return len(b.Cells()) == 0 })
}

package workflow

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/storage/keyed"
	"github.com/selvage-edge/selvage/telemetry"
)

// cells is the engine with the Worker "w", whose class Flow is the Workflow "flow".
type cells struct {
	testing.TB
	*engine.Engine
	flow     *Workflow
	source   *config.Value
	versions int
	lines    chan telemetry.Line
}

func newCells(t testing.TB, source string) *cells {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := keyed.Open(t.TempDir(), keyed.Options{})
	must(err)
	log := slog.New(slog.DiscardHandler)
	k := &Kind{}
	must(k.Open(binding.Home{Keyed: db, Quota: func(string) int64 { return 0 }, Log: log}))
	c := &cells{TB: t, source: &config.Value{}, lines: make(chan telemetry.Line, 1000)}
	c.Engine, err = engine.New(engine.Options{
		Binary: func(ctx context.Context) (string, error) { return workerd.Binary(ctx, os.Stderr) },
		Dir:    t.TempDir(), Source: c.source, Kinds: []binding.Kind{k}, Logger: log,
		IdleAfter: time.Second, DrainTimeout: time.Second, StartTimeout: 20 * time.Second,
		Lines: func(l telemetry.Line) { c.lines <- l },
	})
	must(err)
	c.deploy(source)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); k.Run(ctx, c.Engine, c.source) }()
	t.Cleanup(func() {
		cancel()
		closing, done := context.WithTimeout(context.Background(), 15*time.Second)
		defer done()
		if err := c.Close(closing); err != nil {
			t.Error(err)
		}
		<-ended
		must(db.Close())
	})
	poll.Until(t, "the Workflow is there", func() bool { c.flow, err = k.store.Workflow("flow"); return err == nil })
	return c
}

// deploy makes source the code of "w".
func (c *cells) deploy(source string) {
	c.Helper()
	c.versions++
	bound, err := config.NewBinding("FLOW", "workflow", map[string]string{"workflow_name": "flow", "class_name": "Flow"})
	if err != nil {
		c.Fatal(err)
	}
	trigger, err := config.NewBinding("flow", "workflow", map[string]string{"class_name": "Flow"})
	if err != nil {
		c.Fatal(err)
	}
	v := &config.Version{
		ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", c.versions), Number: c.versions, Worker: "w",
		MainModule: "index.js", CompatibilityDate: "2026-01-01", Bindings: []config.Binding{bound},
		Code: config.Modules{{Name: "index.js", Type: config.ESModule, Data: []byte("import { WorkflowEntrypoint } from 'cloudflare:workers';\n" + source)}},
	}
	c.source.Set(&config.Snapshot{Workers: map[string]*config.Worker{"w": {
		Name: "w", Deployment: v.ID, Shares: []config.Share{{Version: v, Percentage: 100}}, Triggers: []config.Binding{trigger},
	}}})
}

func (c *cells) create(id, params string) {
	c.Helper()
	if _, err := c.flow.Create(c.Context(), Create{ID: &id, Params: Value(params)}); err != nil {
		c.Fatal(err)
	}
}

// until waits until an instance is as it should be: its status, and its output or
// failure.
func (c *cells) until(id, want string) {
	c.Helper()
	got := ""
	if !poll.Within(30*time.Second, func() bool {
		st, err := c.flow.Status(c.Context(), id)
		if got = fmt.Sprint(st.Status); err != nil {
			got = err.Error()
		} else if st.Failure != nil {
			got += " " + st.Failure.Error()
		} else if st.Status == Complete {
			got += " " + string(st.Output.JSON())
		}
		return got == want
	}) {
		c.Fatalf("%s: got %s, want %s", id, got, want)
	}
}

// Instances that wait keep no process running; an event starts one.
func TestSleepersNeedNoCell(t *testing.T) {
	t.Parallel()
	c := newCells(t, `export class Flow extends WorkflowEntrypoint {
  async run({ payload }, step) {
    const first = await step.do("first", async () => payload + 1);
    await step.sleep("pause", 1);
    const { payload: added } = await step.waitForEvent("wait", { type: "add", timeout: "30 days" });
    return first + added;
  }
}
export default {};`)
	const sleepers = 300
	for i := range sleepers {
		c.create(fmt.Sprint("i", i), fmt.Sprint(i))
	}
	poll.Until(t, "all wait, and no process runs", func() bool {
		counts, err := c.flow.counts(t.Context())
		return err == nil && counts[Waiting] == sleepers && len(c.Cells()) == 0
	})
	if err := c.flow.SendEvent(t.Context(), "i7", "add", Value("100")); err != nil {
		t.Fatal(err)
	}
	c.until("i7", "complete 108")
}

// A deployment in the middle: what is done stays done, what runs is cut off without
// an attempt being counted, and the rest is of the new version.
func TestDeployInTheMiddle(t *testing.T) {
	t.Parallel()
	const source = `const version = "%s";
export class Flow extends WorkflowEntrypoint {
  async run(event, step) {
    const first = await step.do("first", async () => version);
    const second = await step.do("second", { retries: { limit: 0, delay: 0 } }, async () => {
      console.log("second", version);
      if (version === "one") await scheduler.wait(600_000);
      return version;
    });
    return first + " " + second + " " + version;
  }
}
export default {};`
	c := newCells(t, fmt.Sprintf(source, "one"))
	c.create("x", "null")
	for line := range c.lines {
		if strings.Contains(line.Message, "second one") {
			break
		}
	}
	c.deploy(fmt.Sprintf(source, "two"))
	c.until("x", `complete "one two two"`)
}

// What a step does that runs when its instance is terminated, and what its function
// does about it, never comes to anything.
func TestTerminateInTheMiddle(t *testing.T) {
	t.Parallel()
	c := newCells(t, `export class Flow extends WorkflowEntrypoint {
  async run(event, step) {
    try {
      await step.do("long", async () => {
        console.log("begun");
        await scheduler.wait(600_000);
      });
    } catch (e) {
      console.log("caught", e.message);
    } finally {
      console.log("finally");
    }
  }
}
export default {};`)
	c.create("x", "null")
	if line := <-c.lines; line.Message != "begun" {
		t.Errorf("%+v", line)
	}
	if err := c.flow.Terminate(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	c.until("x", "terminated")
	poll.Until(t, "no process runs", func() bool { return len(c.Cells()) == 0 })
	select {
	case line := <-c.lines:
		t.Errorf("the function went on: %q", line.Message)
	default:
	}
}

// Steps at the same time, delays by a function, values of all sorts, and lines with
// the run that they belong to.
func TestSteps(t *testing.T) {
	t.Parallel()
	c := newCells(t, `export class Flow extends WorkflowEntrypoint {
  async run(event, step) {
    const list = await Promise.all([1, 2, 3].map((n) => step.do("square", async ({ step }) => [step.count, n * n])));
    const won = await Promise.race([step.sleep("long", "1 hour").then(() => "sleep"), step.do("quick", async () => "do")]);
    const delays = [];
    const tried = await step.do("tried", { retries: { limit: 2, delay: async ({ ctx, error }) => { delays.push(ctx.attempt + error.message); return "1 millisecond"; } } },
      async ({ attempt }) => { if (attempt < 3) throw new Error("no" + attempt); return attempt; });
    const wrong = await step.do("wrong", { retries: { limit: 2, delay: () => "soon" } }, async () => { throw new Error("x"); }).catch((e) => e.message);
    const big = await step.do("nested", async () => ({ map: new Map([["k", new Set([1n])]]), date: new Date(7), bytes: new Uint16Array([1, 2]), cycle: (() => { const o = {}; o.o = o; return o; })() }));
    const kinds = [big.map.get("k").has(1n), big.date.getTime(), [...big.bytes], big.cycle.o === big.cycle];
    console.log("done");
    return { list, won, delays, tried, wrong, kinds };
  }
}
export default {};`)
	c.create("x", "null")
	c.until("x", `complete {"list":[[1,1],[2,4],[3,9]],"won":"do","delays":["1no1","2no2"],"tried":3,`+
		`"wrong":"NonRetryableDelayError: The delay function for step \"wrong-1\" returned an invalid delay value (expected a number of ms or a duration string like \"30 seconds\")","kinds":[true,7,[1,2],true]}`)
	if line := <-c.lines; line.Message != "done" || line.Ray == "" {
		t.Errorf("%+v", line)
	}
}

// A version without the class is refused with the same words when it is checked and
// when it is started.
func TestClassIsNotExported(t *testing.T) {
	t.Parallel()
	c := newCells(t, "export default {};")
	w := c.source.Current().Workers["w"]
	const want = `Workflow class "Flow" is not exported by the script: export a class of that name from index.js that extends WorkflowEntrypoint`
	if _, err := c.Check(t.Context(), w.Shares[0].Version); err == nil || err.Error() != want {
		t.Errorf("check: %v", err)
	}
	if _, err := c.Prepare(t.Context(), "w", w.Shares); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "shim") {
		t.Errorf("prepare: %v", err)
	}
}

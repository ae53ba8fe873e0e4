package workflow_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/selvage-edge/selvage"
)

var update = flag.Bool("update", false, "write the golden file")

// project is a Worker in JavaScript with the Workflow "flow", of its class Flow.
func project(source string) fstest.MapFS {
	return fstest.MapFS{
		"wrangler.json": {Data: []byte(`{"name": "flows", "main": "index.js", "compatibility_date": "2026-04-01",
			"workflows": [{"binding": "WF", "name": "flow", "class_name": "Flow"}]}`)},
		"index.js": {Data: []byte(source)},
	}
}

// start runs the project and returns what asks it.
func start(t *testing.T, dir string, files fstest.MapFS) (ask func(path string) string, stop func()) {
	t.Helper()
	p, err := selvage.New(t.Context(), selvage.WithData(dir), selvage.Project(files, "."))
	if err != nil {
		t.Fatal(err)
	}
	worker := p.Worker("flows")
	ask = func(path string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://flows"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := worker.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	return ask, func() {
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// What a Worker sees is what it sees under wrangler dev.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("testdata/behaviour.js")
	if err != nil {
		t.Fatal(err)
	}
	ask, stop := start(t, t.TempDir(), project(string(source)))
	defer stop()
	var got bytes.Buffer
	for _, mode := range []string{"ctx", "nonretry", "nonretrycaught", "err", "throw", "throwstep", "fnresult", "fnreturn", "types", "typesout", "ev", "none"} {
		fmt.Fprintf(&got, "%s %s\n", mode, ask("/mode?mode="+mode))
	}
	var misc map[string]json.RawMessage
	if err := json.Unmarshal([]byte(ask("/misc?s=1")), &misc); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(misc)) {
		fmt.Fprintf(&got, "%s %s\n", name, misc[name])
	}
	compare(t, "testdata/behaviour.golden", got.String())
}

// compare compares lines with those of a golden file.
func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	is, should := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(is), len(should)) {
		if i >= len(is) || i >= len(should) || is[i] != should[i] {
			t.Fatalf("line %d of the answers and of %s differ:\n%s\n%s", i+1, golden, strings.Join(is[min(i, len(is)):], "\n"), strings.Join(should[min(i, len(should)):], "\n"))
		}
	}
}

// Rollbacks, streams and subscriptions are what they are under wrangler dev.
func TestFeatures(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("testdata/features.js")
	if err != nil {
		t.Fatal(err)
	}
	ask, stop := start(t, t.TempDir(), project(string(source)))
	defer stop()
	var got bytes.Buffer
	for _, path := range []string{
		"/fails", "/throws", "/undoFails", "/caught", "/terminated", "/options",
		"/small", "/large", "/empty", "/response", "/unread", "/another", "/breaks", "/slow", "/within", "/undone",
		"/event?events", "/fails?events", "/small?events", `/event?events={"cursor":9}`, `/event?events={"filter":["step_completed","wait_started"]}`,
		`/small?options={"cursor":-1}`, `/small?options={"cursor":0.5}`, `/small?options={"filter":["nothing"]}`, `/small?options={"filter":"step_completed"}`,
		`/small?options={"more":1}`, `/small?options=5`, `/small?options={"cursor":3,"filter":[]}`,
	} {
		fmt.Fprintf(&got, "%s %s\n", path, ask(strings.NewReplacer("{", "%7B", "}", "%7D", `"`, "%22").Replace(path)))
	}
	compare(t, "testdata/features.golden", got.String())
}

// A Worker has Workflows of another one, by script_name, and several of its own.
func TestWorkflowOfAnotherWorker(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"owner/wrangler.json": {Data: []byte(`{"name": "owner", "main": "index.js", "compatibility_date": "2026-04-01",
			"workflows": [{"binding": "A", "name": "a", "class_name": "A"}, {"binding": "B", "name": "b", "class_name": "B"}]}`)},
		"owner/index.js": {Data: []byte(`import { WorkflowEntrypoint } from "cloudflare:workers";
export class A extends WorkflowEntrypoint { async run({ payload }, step) { return "A " + await step.do("s", async () => payload.n); } }
export class B extends WorkflowEntrypoint {
  async run({ payload }, step) {
    return step.do("both", async () => {
      const a = await this.env.A.create({ params: { n: payload.n + 1 } });
      for (;;) {
        const { status, output } = await a.status();
        if (status === "complete") return "B " + output;
        await scheduler.wait(10);
      }
    });
  }
}
export default {};`)},
		"flows/wrangler.json": {Data: []byte(`{"name": "flows", "main": "index.js", "compatibility_date": "2026-04-01",
			"workflows": [{"binding": "FAR", "name": "b", "class_name": "B", "script_name": "owner"}]}`)},
		"flows/index.js": {Data: []byte(`export default {
  async fetch(request, env) {
    const b = await env.FAR.create({ params: { n: 1 } });
    for (;;) {
      const { status, output } = await b.status();
      if (status === "complete") return new Response(output);
      await scheduler.wait(10);
    }
  },
};`)},
	}
	p, err := selvage.New(t.Context(), selvage.WithData(t.TempDir()), selvage.Project(files, "owner"), selvage.Project(files, "flows"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(t.Context())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://flows/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.Worker("flows").RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "B A 2" {
		t.Errorf("%q %v", body, err)
	}
}

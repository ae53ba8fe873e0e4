package selvage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/selvage-edge/selvage"
	"github.com/selvage-edge/selvage/binding/workflow"
	"github.com/selvage-edge/selvage/internal/poll"
)

// prices is a Worker in Go that starts an instance of a Workflow in JavaScript, is
// called by its step, and runs a Workflow of its own.
type prices struct {
	Reports *workflow.Workflow `binding:"REPORTS"`
	Checks  *workflow.Workflow `binding:"CHECKS"`
}

func (p *prices) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/price" {
		io.WriteString(w, "42")
		return
	}
	for _, w := range []*workflow.Workflow{p.Reports, p.Checks} {
		id := "one"
		if _, err := w.Create(r.Context(), workflow.Create{ID: &id, Params: workflow.Value(`"book"`)}); err != nil && !errors.Is(err, workflow.ErrExists) {
			panic(err)
		}
	}
	for _, of := range []*workflow.Workflow{p.Reports, p.Checks} {
		s := workflow.Subscription{Filter: []string{"workflow_completed", "workflow_errored"}}
		list, _, _, err := of.Next(r.Context(), "one", s)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(w, "%s %v %s\n", of.Name(), list[0].Type, list[0].Value)
	}
}

func (p *prices) Workflow(ctx context.Context, e workflow.Event, s *workflow.Steps) (any, error) {
	checked, err := s.Do(ctx, "check", workflow.StepOptions{}, func(context.Context) (any, error) { return "checked " + string(e.Params), nil })
	var text string
	if err == nil {
		err = checked.Decode(&text)
	}
	return text, err
}

// lines is what a command prints.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// after is the rest of the line that has the text.
func (l *lines) after(text string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, rest, _ := strings.Cut(l.text.String(), text)
	line, _, whole := strings.Cut(rest, "\n")
	if !whole {
		return ""
	}
	return line
}

// A Worker in Go starts Workflows, is called by their steps and runs its own, under
// dev and under serve.
func TestWorkflowsOfGo(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"wrangler.json": {Data: []byte(`{"name": "reports", "main": "index.js", "compatibility_date": "2026-04-01",
			"services": [{"binding": "PRICES", "service": "prices"}],
			"workflows": [{"binding": "REPORTS", "name": "reports", "class_name": "Report"}]}`)},
		"index.js": {Data: []byte(`import { WorkflowEntrypoint } from "cloudflare:workers";
export class Report extends WorkflowEntrypoint {
  async run({ payload }, step) {
    return payload + " costs " + (await step.do("ask", async () => (await this.env.PRICES.fetch("https://prices/price")).text()));
  }
}
export default { fetch() { return new Response("reports") } };`)},
	}
	options := []selvage.Option{
		selvage.Worker("prices", func(p *prices) http.Handler { return p }, selvage.WithWorkflow("REPORTS", "reports", "reports", "Report"),
			selvage.WithWorkflow("CHECKS", "checks", "prices", "checks"), selvage.WithRunner("checks")),
		selvage.Project(files, "."),
	}
	data := t.TempDir()
	for name, args := range map[string][]string{
		"dev":   {"dev", "--port", "0", "--data", filepath.Join(data, "dev")},
		"serve": {"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", filepath.Join(data, "serve")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			out, ended := &lines{}, make(chan int, 1)
			go func() { ended <- selvage.Run(ctx, args, strings.NewReader(""), out, out, options...) }()
			defer func() {
				cancel()
				if code := <-ended; code != 0 || t.Failed() {
					t.Errorf("ended with %d:\n%s", code, out.text.String())
				}
			}()
			poll.Until(t, "it is ready", func() bool { return out.after("Ready on ") != "" })
			for range 2 { // the second time the instances are there
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, out.after("Ready on "), nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = "prices.localhost"
				res, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				const want = "reports workflow_completed \"book costs 42\"\nchecks workflow_completed \"checked \\\"book\\\"\"\n"
				if err != nil || string(body) != want {
					t.Fatalf("%v %q, want %q", err, body, want)
				}
			}
		})
	}
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/durable"
	"github.com/selvage-edge/selvage/binding/service"
	"github.com/selvage-edge/selvage/binding/vars"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/telemetry"
)

// bench is an engine under test: a source to deploy to and a server to ask.
type bench struct {
	*Engine
	t      testing.TB
	source *config.Value
	server *httptest.Server // Host header or first path element: the Worker

	mu          sync.Mutex
	workers     map[string]*config.Worker
	versions    int
	lines       []telemetry.Line
	invocations []telemetry.Invocation
}

// kinds are the kinds that the engine's tests use.
func kinds() []binding.Kind {
	return append(vars.Kinds(), service.Kind{}, durable.Kind{}, echoKind{})
}

// echoKind is a service of ours that echoes the path and what it was told.
type echoKind struct{}

func (echoKind) Type() string                    { return "echo" }
func (echoKind) Validate(b config.Binding) error { return nil }
func (echoKind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	return binding.Mount{
		Value: workerd.ServiceValue{Name: at.Service},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s %s %s", at.Version.Worker, b.Name, r.Method, r.URL.Path, body)
		}),
	}, nil
}

func newBench(t testing.TB, change func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, source: &config.Value{}, workers: map[string]*config.Worker{}}
	o := Options{
		Binary:       func(ctx context.Context) (string, error) { return workerd.Binary(ctx, os.Stderr) },
		Dir:          t.TempDir(),
		Source:       b.source,
		Kinds:        kinds(),
		DrainTimeout: 5 * time.Second,
		StartTimeout: 20 * time.Second,
		Logger:       slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Lines: func(l telemetry.Line) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.lines = append(b.lines, l)
		},
		Invocations: func(i telemetry.Invocation) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.invocations = append(b.invocations, i)
		},
	}
	if change != nil {
		change(&o)
	}
	var err error
	if b.Engine, err = New(o); err != nil {
		t.Fatal(err)
	}
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		r.URL.Path = "/" + path
		if err := b.Dispatch(w, r, name, r.Header.Get("Version")); err != nil {
			f := fault.From(err)
			w.Header().Set("Fault", fmt.Sprint(f.Code))
			http.Error(w, err.Error(), f.Status)
		}
	}))
	t.Cleanup(func() {
		b.server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

// testWriter passes a log on to the test, which shows it when it fails.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// version makes a version of one ES module.
func (b *bench) version(worker, source string, bindings ...config.Binding) *config.Version {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.versions++
	return &config.Version{
		ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", b.versions), Number: b.versions, Worker: worker,
		MainModule: "index.js", CompatibilityDate: "2026-01-01", Bindings: bindings,
		Code: config.Modules{{Name: "index.js", Type: config.ESModule, Data: []byte(source)}},
	}
}

// deploy makes v the version of its Worker that takes all traffic.
func (b *bench) deploy(v *config.Version) *config.Version {
	b.deployShares(v.Worker, config.Share{Version: v, Percentage: 100})
	return v
}

func (b *bench) deployShares(worker string, shares ...config.Share) {
	b.deployWorker(&config.Worker{Name: worker, Shares: shares})
}

func (b *bench) deployWorker(w *config.Worker) {
	b.mu.Lock()
	b.workers[w.Name] = w
	s := &config.Snapshot{Workers: maps.Clone(b.workers)}
	b.mu.Unlock()
	b.source.Set(s)
}

// bound makes a binding.
func bound(t testing.TB, name, typ string, settings any) config.Binding {
	t.Helper()
	v, err := config.NewBinding(name, typ, settings)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ask sends a GET request to "/<worker>/path".
func (b *bench) ask(path string, header ...string) (status int, body string, err error) {
	req, err := http.NewRequest(http.MethodGet, b.server.URL+path, nil)
	if err != nil {
		return 0, "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.server.Client().Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, string(data), err
}

// want asks and compares.
func (b *bench) want(path, body string, header ...string) {
	b.t.Helper()
	status, got, err := b.ask(path, header...)
	if err != nil || status != http.StatusOK || got != body {
		b.t.Errorf("GET %s: %d %q %v, want %q", path, status, got, err, body)
	}
}

// cellOf returns the cell of a Worker that takes requests.
func (b *bench) cellOf(worker string) (CellInfo, bool) {
	for _, c := range b.Cells() {
		if c.Worker == worker && c.State == "running" {
			return c, true
		}
	}
	return CellInfo{}, false
}

// process reports whether pid runs.
func process(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func asFault(t testing.TB, err error, want *fault.Fault) *fault.Fault {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
	return fault.From(err)
}

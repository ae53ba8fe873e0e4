package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/cli/settings"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/platform"
)

// The doctor shows what is stored beside each quota, and warns near one.
func TestExamineQuotas(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int64{
		"d1/a.sqlite": 30 << 20, "d1/b.sqlite": 65 << 20, "d1/a.sqlite-wal": 100 << 20, "d1/a.history/1": 100 << 20,
		"keyed/000001.sst": 4 << 20, "blob/kv/ab/cd": 2 << 20, "do/w/C/1.sqlite": 5 << 20, "do/w/C/2.sqlite": 3 << 20, "do/w/D/1.sqlite": 2 << 20, "do/w/C/1.sqlite-wal": 1 << 20, "do/v/C/1.sqlite": 4 << 20, "do-history/C/1": 7 << 20, "do-history/C/2": 9 << 20,
		"blob/control/ab/cd": 7 << 20, "blob/r2/ab/cd": 8 << 20,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
	none := []finding{
		{"stored: KV", stateOK, "6 MiB, no quota"},
		{"stored: largest KV namespace", stateOK, "not counted, no quota"},
		{"stored: D1 databases", stateOK, "95 MiB, no quota"},
		{"stored: largest D1 database", stateOK, "65 MiB, no quota"},
		{"stored: largest Durable Object", stateOK, "5 MiB, no quota"},
		{"stored: largest Durable Objects of a Worker", stateOK, "10 MiB, no quota"},
		{"stored: largest history of a Durable Object", stateOK, "9 MiB, no quota"},
		{"stored: largest queue", stateOK, "not counted, no quota"},
		{"stored: R2", stateOK, "8 MiB, no quota"},
		{"stored: Analytics Engine", stateOK, "0 MiB, no quota"},
		{"stored: Workflows", stateOK, "not counted, no quota"},
		{"stored: code and static files", stateOK, "7 MiB, no quota"},
		{"stored: largest code of a Worker", stateOK, "not counted, no quota"},
	}
	// bounded has 100 MiB for each; namespace and code are told by the server.
	bounded := func(namespace, code finding) []finding {
		return []finding{
			{"stored: KV", stateOK, "6 of 100 MiB (quotas.kv)"},
			namespace,
			{"stored: D1 databases", stateWarning, "95 of 100 MiB (quotas.d1)"},
			{"stored: largest D1 database", stateOK, "65 of 100 MiB (quotas.d1_database)"},
			{"stored: largest Durable Object", stateOK, "5 of 100 MiB (quotas.durable_object)"},
			{"stored: largest Durable Objects of a Worker", stateOK, "10 of 100 MiB (quotas.worker_durable_objects)"},
			{"stored: largest history of a Durable Object", stateOK, "9 of 100 MiB (quotas.durable_object_history)"},
			{"stored: largest queue", stateOK, "not counted, no quota"},
			{"stored: R2", stateOK, "8 of 100 MiB (quotas.r2)"},
			{"stored: Analytics Engine", stateOK, "0 MiB, no quota"},
			{"stored: Workflows", stateOK, "not counted, no quota"},
			{"stored: code and static files", stateOK, "7 of 100 MiB (quotas.code)"},
			code,
		}
	}
	quotas := map[string]int64{}
	for _, key := range []string{"d1", "d1_database", "kv", "kv_namespace", "durable_object", "worker_durable_objects", "durable_object_history", "r2", "code", "worker_code"} {
		quotas[key] = 100 << 20
	}
	for _, test := range []struct {
		name   string
		quotas map[string]int64
		ask    func(path string, result any) error
		want   []finding
	}{
		{"no quotas", nil, nil, none},
		{"no server", quotas, nil, bounded(
			finding{"stored: largest KV namespace", stateOK, "at most 100 MiB (quotas.kv_namespace); a server that runs says how much it is"},
			finding{"stored: largest code of a Worker", stateOK, "at most 100 MiB (quotas.worker_code); a server that runs says how much it is"})},
		{"a server", quotas, func(path string, result any) error {
			if path != "/local/kv" {
				return errors.New("it does not answer")
			}
			return json.Unmarshal([]byte(`{"name":"sessions","bytes":94371840}`), result)
		}, bounded(
			finding{"stored: largest KV namespace", stateWarning, "sessions: 90 of 100 MiB (quotas.kv_namespace)"},
			finding{"stored: largest code of a Worker", stateWarning, "it does not answer"})},
	} {
		got := examineQuotas(&settings.Settings{Quotas: test.quotas}, dir, test.ask)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s:\ngot  %v\nwant %v", test.name, got, test.want)
		}
	}
}

// What one namespace and the versions of one Worker hold is bounded by the
// settings, and the doctor is told of it by the server that runs.
func TestQuotasOfARunningServer(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	quotas := map[string]int64{"kv_namespace": 1 << 20, "worker_code": 2 << 20}
	stores, _, err := platform.OpenStores(ctx, platform.StoreOptions{Dir: dir, Logger: quiet, Quotas: quotas})
	if err != nil {
		t.Fatal(err)
	}
	c, err := serveStores(ctx, stores)
	if err != nil {
		t.Fatal(errors.Join(err, stores.Close()))
	}
	defer c.close()

	var namespace struct{ ID string }
	if err := c.call(ctx, http.MethodPost, c.path("storage", "kv", "namespaces"), map[string]string{"title": "sessions"}, &namespace); err != nil {
		t.Fatal(err)
	}
	put := func(key string, size int) error {
		return c.call(ctx, http.MethodPut, c.path("storage", "kv", "namespaces", namespace.ID, "values", key), strings.NewReader(strings.Repeat("x", size)), nil)
	}
	if err := put("a", 1<<20-1); err != nil {
		t.Fatal(err)
	}
	var refused *api.Error
	if err := put("b", 0); !errors.As(err, &refused) || refused.Status != 413 || !strings.Contains(err.Error(), "a namespace may store 1048576 bytes") {
		t.Errorf("a byte more: %v", err)
	}
	deploy := func(size int64) error {
		return stores.State.Update(ctx, func(tx *state.Tx) error {
			if err := tx.PutWorker(&state.Worker{Name: "shop"}); err != nil {
				return err
			}
			module := state.Module{Name: "index.js", Type: config.ESModule, Digest: fmt.Sprintf("%064x", size), Size: size}
			return tx.AddVersion(&state.Version{Worker: "shop", MainModule: "index.js", Modules: []state.Module{module}})
		})
	}
	if err := deploy(1 << 20); err != nil {
		t.Fatal(err)
	}
	if err := deploy(1<<20 + 1); !errors.Is(err, state.ErrWorkerQuota) {
		t.Errorf("a byte more: %v", err)
	}

	got := examineQuotas(&settings.Settings{Quotas: quotas}, dir, func(path string, result any) error {
		return c.call(ctx, http.MethodGet, path, nil, result)
	})
	for _, want := range []finding{
		{"stored: largest KV namespace", stateWarning, "sessions: 1 of 1 MiB (quotas.kv_namespace)"},
		{"stored: largest code of a Worker", stateOK, "shop: 1 of 2 MiB (quotas.worker_code)"},
	} {
		if !slices.Contains(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// `selvage doctor` finds the server and its quotas by the configuration alone.
func TestDoctorAsksTheServer(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	config := filepath.Join(dir, "selvage.toml")
	if err := os.WriteFile(config, []byte("data = 'data'\n[quotas]\nkv_namespace = '3MiB'\nworker_code = '4MiB'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := func(texts ...string) {
		t.Helper()
		_, stdout, stderr := call(t, "doctor", "--config", config) // which may fail, depending on the machine
		for _, text := range texts {
			if !strings.Contains(stdout, text) {
				t.Errorf("no %q in:\n%s%s", text, stdout, stderr)
			}
		}
	}
	want("at most 3 MiB (quotas.kv_namespace); a server", "at most 4 MiB (quotas.worker_code); a server")
	run(t, "serve", "--config", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	want("0 of 3 MiB (quotas.kv_namespace)", "0 of 4 MiB (quotas.worker_code)")
}

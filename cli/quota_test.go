package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/selvage-edge/selvage/cli/settings"
)

// The doctor shows what is stored beside each quota, and warns near one.
func TestExamineQuotas(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int64{
		"d1/a.sqlite": 30 << 20, "d1/b.sqlite": 65 << 20, "d1/a.sqlite-wal": 100 << 20, "d1/a.history/1": 100 << 20,
		"keyed/000001.sst": 4 << 20, "blob/kv/ab/cd": 2 << 20, "do/w/C/1.sqlite": 5 << 20, "do/w/C/2.sqlite": 3 << 20,
		"blob/control/ab/cd": 7 << 20,
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
	s := &settings.Settings{Quotas: map[string]int64{"d1": 100 << 20, "d1_database": 100 << 20, "durable_object": 100 << 20}}
	want := []finding{
		{"stored: D1 databases", stateWarning, "95 of 100 MiB (quotas.d1)"},
		{"stored: largest D1 database", stateOK, "65 of 100 MiB (quotas.d1_database)"},
		{"stored: KV", stateOK, "6 MiB, no quota"},
		{"stored: largest Durable Object", stateOK, "5 of 100 MiB (quotas.durable_object)"},
		{"stored: code and static files", stateOK, "7 MiB, no quota"},
	}
	got := examineQuotas(s, dir)
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %v\nwant %v", got[i], want[i])
		}
	}
}

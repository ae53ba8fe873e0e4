package d1_test

import (
	"bytes"
	"flag"
	"os"
	"strconv"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/celltest"
)

var update = flag.Bool("update", false, "write the golden files")

// TestWire pins what a Worker in a real workerd sees of every API and error.
// The texts were compared with those of workerd's own D1.
func TestWire(t *testing.T) {
	cell := startCell(t, openStore(t, d1.Options{}))
	got := []byte(cell.Get("/"))
	const golden = "testdata/wire.txt"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the Worker saw something else than %s; run with -update and review the difference.\n%s", golden, firstDifference(got, want))
	}
}

func firstDifference(got, want []byte) string {
	a, b := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range a {
		if i >= len(b) || !bytes.Equal(a[i], b[i]) {
			return string(a[max(i-1, 0)]) + "\ngot:  " + string(a[i]) + "\nwant: " + string(bytes.Join(b[min(i, len(b)):min(i+1, len(b))], nil))
		}
	}
	return "output is too short"
}

// BenchmarkWorker measures calls from a Worker through workerd and back, 32 at
// a time.
func BenchmarkWorker(b *testing.B) {
	store := openStore(b, d1.Options{})
	cell := startCell(b, store)
	db, err := store.Database(b.Context(), databaseID)
	if err != nil {
		b.Fatal(err)
	}
	_, err = db.Exec(b.Context(), `CREATE TABLE bench (id INTEGER PRIMARY KEY, name TEXT);
		WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 1000) INSERT INTO bench SELECT i, 'name' || i FROM n`)
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range []string{"/read", "/insert"} {
		b.Run(path[1:], func(b *testing.B) {
			if got := cell.Get(path + "?n=" + strconv.Itoa(b.N)); got != "done" {
				b.Fatal(got)
			}
		})
	}
}

const databaseID = "11111111-2222-4333-8444-555555555555"

func startCell(t testing.TB, store *d1.Store) *celltest.Cell {
	t.Helper()
	source, err := os.ReadFile("testdata/worker.js")
	if err != nil {
		t.Fatal(err)
	}
	return celltest.Run(t, string(source), map[string]func(string) binding.Mount{"DB": func(service string) binding.Mount {
		b, err := config.NewBinding("DB", "d1", map[string]string{"id": databaseID})
		if err != nil {
			t.Fatal(err)
		}
		m, err := mount(t, store, true, b, binding.Site{Version: &config.Version{}, Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}})
}

// mount mounts a binding in a cell, with its database made first if create says so.
func mount(t testing.TB, store *d1.Store, create bool, b config.Binding, at binding.Site) (binding.Mount, error) {
	t.Helper()
	k := d1.KindOf(store)
	if create {
		if err := k.(binding.Maker).Make(t.Context(), b); err != nil {
			return binding.Mount{}, err
		}
	}
	return k.Mount(b, at)
}

func openStore(t testing.TB, o d1.Options) *d1.Store {
	t.Helper()
	s, err := d1.OpenStore(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

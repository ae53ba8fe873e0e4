package kv

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// fixture is a store on disk with a clock that stands still.
type fixture struct {
	dir   string
	db    *keyed.DB
	blobs *blob.Store
	store *Store
	clock atomic.Int64 // seconds
}

const epoch = 1_800_000_000

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{}
	f.clock.Store(epoch)
	f.open(t, t.TempDir())
	return f
}

func (f *fixture) open(t testing.TB, dir string) {
	t.Helper()
	f.dir = dir
	var err error
	if f.db, err = keyed.Open(filepath.Join(dir, "keyed"), keyed.Options{}); err != nil {
		t.Fatal(err)
	}
	if f.blobs, err = blob.Open(filepath.Join(dir, "blob")); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Unix(f.clock.Load(), 0) }
	if f.store, err = OpenStore(f.db, f.blobs, Options{Now: now, SweepInterval: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.store.Close(); f.db.Close() })
}

func (f *fixture) namespace(t testing.TB) *Namespace {
	t.Helper()
	n, err := f.store.Ensure("test")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

package kv

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
)

// All namespaces share one bound on what they store. What does not fit leaves
// nothing behind; what is deleted, expires or is replaced gives its room back.
func TestQuota(t *testing.T) {
	const max = 1 << 20
	f := newFixture(t)
	f.store.quota.max = max
	n := f.namespace(t)
	used := func(want int64) {
		t.Helper()
		counted := f.store.quota.used.Load()
		measured, err := f.store.Measure(ctx)
		if err != nil || counted != want || measured != want {
			t.Errorf("counted %d, measured %d, %v; want %d", counted, measured, err, want)
		}
	}
	refused := func(what string, err error) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || e.Status != 413 || e.Text != "KV storage limit exceeded: the account may store 1048576 bytes" {
			t.Errorf("%s: %v", what, err)
		}
	}
	put := func(key string, size int) error {
		return n.Put(ctx, key, bytes.Repeat([]byte("x"), size), PutOptions{Metadata: []byte(`"m"`)})
	}
	for key, size := range map[string]int{"large": 900_000, "small": 100} {
		if err := put(key, size); err != nil {
			t.Fatal(err)
		}
	}
	used(900_000 + 100 + 5 + 5 + 3 + 3)
	refused("a large value", put("second", 200_000))
	refused("a bulk put", n.BulkPut(ctx, []Item{{Key: "a", Value: make([]byte, 60_000)}, {Key: "b", Value: make([]byte, 60_000)}, {Key: "c", Value: make([]byte, 60_000)}}))
	used(900_000 + 100 + 5 + 5 + 3 + 3)
	if files, _ := filepath.Glob(filepath.Join(f.dir, "blob", "??", "*")); len(files) != 1 {
		t.Errorf("files %v, want that of the large value", files)
	}
	if err := put("large", 800_000); err != nil { // in its own place
		t.Error(err)
	}
	if err := put("second", 200_000); err != nil {
		t.Error(err)
	}
	if err := n.Delete(ctx, "large"); err != nil {
		t.Error(err)
	}
	used(200_000 + 100 + 6 + 5 + 3 + 3)
	if _, err := n.GetWithMetadata(ctx, "second"); err != nil {
		t.Error(err)
	}
}

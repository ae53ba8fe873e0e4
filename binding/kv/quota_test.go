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

// One namespace has a bound of its own: what fits to the byte is taken, one more
// is not, and the others do not notice.
func TestNamespaceQuota(t *testing.T) {
	const each = 1 << 20
	f := newFixture(t)
	f.store.quota.each = each
	n := f.namespace(t)
	other, err := f.store.Ensure("other")
	if err != nil {
		t.Fatal(err)
	}
	put := func(n *Namespace, key string, size int) error {
		return n.Put(ctx, key, make([]byte, size), PutOptions{})
	}
	for _, test := range []struct {
		name    string
		n       *Namespace
		key     string
		size    int
		refused bool
		used    int64 // of the namespace, afterwards
	}{
		{"a large value", n, "large", each - 105, false, each - 100},
		{"one byte over the bound", n, "k", 100, true, each - 100},
		{"the bound", n, "k", 99, false, each},
		{"an empty value", n, "e", 0, true, each},
		{"a longer one in the place of a value", n, "k", 100, true, each},
		{"one as long", n, "k", 99, false, each},
		{"a shorter one", n, "k", 98, false, each - 1},
		{"another namespace", other, "large", each - 5, false, each},
	} {
		err := put(test.n, test.key, test.size)
		var e *Error
		if test.refused && (!errors.As(err, &e) || e.Status != 413 || e.Text != "KV storage limit exceeded: a namespace may store 1048576 bytes") {
			t.Errorf("%s: %v", test.name, err)
		}
		if !test.refused && err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		counted := f.store.quota.of(test.n.number).Load()
		if _, err := f.store.Measure(ctx); err != nil {
			t.Fatal(err)
		}
		if measured := f.store.quota.of(test.n.number).Load(); counted != test.used || measured != test.used {
			t.Errorf("%s: counted %d, measured %d, want %d", test.name, counted, measured, test.used)
		}
	}
	if largest, err := f.store.Largest(ctx); err != nil || largest != (Usage{"other", each}) {
		t.Errorf("largest %+v, %v", largest, err)
	}
	if err := f.store.DeleteNamespace(ctx, "other"); err != nil {
		t.Fatal(err)
	}
	if largest, err := f.store.Largest(ctx); err != nil || largest != (Usage{"test", each - 1}) {
		t.Errorf("largest %+v, %v", largest, err)
	}
	if other, err = f.store.Ensure("other"); err != nil {
		t.Fatal(err)
	}
	if err := put(other, "large", each-5); err != nil {
		t.Errorf("a namespace made anew: %v", err)
	}
}

// A store that is opened again knows what each namespace has, and one without a
// quota finds out when it is asked.
func TestQuotaIsMeasuredAtStart(t *testing.T) {
	f := newFixture(t)
	if err := f.namespace(t).Put(ctx, "key", []byte("value"), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if f.store.quota.used.Load() != 0 {
		t.Error("counted without a quota")
	}
	if largest, err := f.store.Largest(ctx); err != nil || largest != (Usage{"test", 8}) {
		t.Errorf("largest %+v, %v", largest, err)
	}
	again, err := OpenStore(f.db, f.store.blobs, Options{NamespaceQuota: 9, SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	n, err := again.Ensure("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Put(ctx, "k", []byte("v"), PutOptions{}); err == nil {
		t.Error("two bytes where there is room for one")
	}
	if err := n.Put(ctx, "k", nil, PutOptions{}); err != nil {
		t.Error(err)
	}
}

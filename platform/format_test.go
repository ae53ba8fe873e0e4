package platform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A new directory gets the format of this program, a newer one is refused, and
// what a killed backup left is removed.
func TestFormat(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "format")
	left := filepath.Join(dir, backingUp+"123", "keyed")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := checkFormat(dir); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "1\n" {
		t.Errorf("format %q", text)
	}
	if _, err := os.Stat(filepath.Dir(left)); err == nil {
		t.Error("the folder of a killed backup is still there")
	}
	for text, want := range map[string]string{"1\n": "", "2\n": "written by a newer program", "x": "not the number of a format", "": "not the number of a format", "0": "not the number"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := checkFormat(dir)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("format %q: %v, want %q", text, err, want)
		}
	}
}

// A directory can be looked at without being opened.
func TestInspect(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if i, err := Inspect(dir); err != nil || i.Exists || i.Free == 0 {
		t.Errorf("none yet: %+v, %v", i, err)
	}
	stores, _, err := OpenStores(t.Context(), StoreOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if i, err := Inspect(dir); err != nil || !i.InUse || i.Holder.PID != os.Getpid() || i.Format != "1" {
		t.Errorf("in use: %+v, %v", i, err)
	}
	if err := stores.Close(); err != nil {
		t.Fatal(err)
	}
	if i, err := Inspect(dir); err != nil || i.InUse || !i.Exists {
		t.Errorf("closed: %+v, %v", i, err)
	}
}

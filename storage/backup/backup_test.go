package backup

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var files = map[string]string{"a": "one", "d/b": "two", "d/e/c": "", "big": strings.Repeat("0123456789", 100_000)}

func archive(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	var out bytes.Buffer
	w, err := NewWriter(&out, Header{Created: time.Unix(1e9, 0), Account: "acc"})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		from := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.Add(name, from); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	data := archive(t)
	if h, err := Verify(bytes.NewReader(data)); err != nil || h.Account != "acc" || h.Format != Format {
		t.Fatal(h, err)
	}
	dir := t.TempDir()
	if _, err := Extract(bytes.NewReader(data), dir); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// Wherever an archive is cut off, it is refused; and whichever byte is changed,
// unless the change makes no difference to what comes out.
func TestDamage(t *testing.T) {
	data := archive(t)
	for n := 0; n < len(data); n += 1 + len(data)/300 {
		if _, err := Verify(bytes.NewReader(data[:n])); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut off after %d of %d bytes: %v", n, len(data), err)
		}
		changed := bytes.Clone(data)
		changed[n] ^= 0x10
		dir := t.TempDir()
		if _, err := Extract(bytes.NewReader(changed), dir); err != nil {
			continue
		}
		for name, text := range files {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
				t.Fatalf("byte %d of %d changed: %s came out different, which was not noticed", n, len(data), name)
			}
		}
	}
}

func TestNewerFormat(t *testing.T) {
	if _, err := readHeader(strings.NewReader(`{"format": 2}`)); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Error(err)
	}
}

// Whatever the archive, nothing is written outside of the folder.
func FuzzExtract(f *testing.F) {
	f.Add(archive(f))
	f.Add([]byte{})
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "in", "here")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		Extract(bytes.NewReader(data), dir)
		filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.HasPrefix(path, dir+string(filepath.Separator)) {
				t.Errorf("wrote %s", path)
			}
			return nil
		})
	})
}

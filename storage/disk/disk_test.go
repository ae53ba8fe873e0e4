package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/selvage-edge/selvage/storage/disk"
)

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "settings")
	for _, text := range []string{"a longer first content", "second", ""} {
		if err := disk.WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q, %v; want %q", got, err, text)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("in the folder: %v, %v", left, err)
	}
}

// A write that fails leaves the old content.
func TestWriteFileFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "settings")
	if err := disk.WriteFile(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(path, []byte("new")); err == nil {
		t.Error("no error")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a", "x"), filepath.Join(dir, "b", "y")
	for _, d := range []string{from, filepath.Dir(to)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(to); err != nil || !info.IsDir() {
		t.Error(info, err)
	}
	if err := disk.Rename(from, to); !os.IsNotExist(err) {
		t.Errorf("of what is not there: %v", err)
	}
}

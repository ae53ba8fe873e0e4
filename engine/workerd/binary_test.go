package workerd

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBinaryVariable(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	os.WriteFile(plain, nil, 0o644)
	good := filepath.Join(dir, "workerd")
	os.WriteFile(good, nil, 0o755)
	for path, wantErr := range map[string]string{
		good:                     "",
		plain:                    "not an executable file",
		filepath.Join(dir, "no"): "no such file",
	} {
		t.Setenv(Variable, path)
		got, err := Binary(t.Context(), io.Discard)
		if wantErr == "" {
			if err != nil || got != path {
				t.Errorf("%s: %q, %v", path, got, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: error %v, want %q", path, err, wantErr)
		}
	}
}

func TestCachedFetchesNothing(t *testing.T) {
	t.Setenv(Variable, "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if _, err := Cached(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
}

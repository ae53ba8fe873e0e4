package dev

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A server that writes into a folder that it watches would reload for ever.
func TestDataIsNotWatched(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"src", "state/d1", "node_modules/a", ".wrangler"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w, err := newWatcher(slog.New(slog.DiscardHandler), filepath.Join(root, "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	w.tree(root)
	if got, want := slices.Sorted(maps.Keys(w.dirs)), []string{root, filepath.Join(root, "src")}; !slices.Equal(got, want) {
		t.Errorf("watches %q, want %q", got, want)
	}
}

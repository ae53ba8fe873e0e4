package d1_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding/d1"
)

// A database whose file is lost is not begun anew; deleting it is the way out.
func TestLostFile(t *testing.T) {
	for name, harm := range map[string]func(string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, dir := t.Context(), t.TempDir()
			store, err := d1.OpenStore(dir, d1.Options{})
			if err != nil {
				t.Fatal(err)
			}
			info, err := store.Create(ctx, "one")
			if err != nil {
				t.Fatal(err)
			}
			db, err := store.Database(ctx, info.ID)
			if err != nil {
				t.Fatal(err)
			}
			must(t, db, "CREATE TABLE t(a)")
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			if err := harm(filepath.Join(dir, info.ID+".sqlite")); err != nil {
				t.Fatal(err)
			}
			if store, err = d1.OpenStore(dir, d1.Options{}); err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			if db, err = store.Database(ctx, info.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(ctx, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "is lost") {
				t.Errorf("the file of a database is %s: %v", name, err)
			}
			if err := store.Delete(ctx, info.ID); err != nil {
				t.Error(err)
			}
		})
	}
}

// A registry without its table beside databases is a lost one.
func TestLostRegistry(t *testing.T) {
	dir := t.TempDir()
	store, err := d1.OpenStore(dir, d1.Options{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := store.Create(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Database(t.Context(), info.ID)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CREATE TABLE t(a)")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "databases.db")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if store, err := d1.OpenStore(dir, d1.Options{}); err == nil || !strings.Contains(err.Error(), "is lost, and 1 of them") {
			t.Errorf("%v", err)
			if err == nil {
				store.Close()
			}
		}
	}
}

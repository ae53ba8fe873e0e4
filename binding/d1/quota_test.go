package d1_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding/d1"
)

// All databases of an account share one bound. At the bound nothing grows, what
// is there can be read and deleted, and what is given back can be used again.
func TestAccountQuota(t *testing.T) {
	const quota = 4 << 20
	ctx, dir := t.Context(), t.TempDir()
	var databases []*d1.Database
	store, err := d1.OpenStore(dir, d1.Options{MaxAccount: quota})
	if err != nil {
		t.Fatal(err)
	}
	var infos []d1.Info
	for i := range 2 {
		info, err := store.Create(ctx, fmt.Sprint("db", i))
		if err != nil {
			t.Fatal(err)
		}
		db, err := store.Database(ctx, info.ID)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, "CREATE TABLE t(a)")
		databases, infos = append(databases, db), append(infos, info)
	}
	fill := func(db *d1.Database) (err error) {
		for range 100 {
			if _, err = db.Exec(ctx, "INSERT INTO t VALUES (randomblob(100000))"); err != nil {
				return err
			}
		}
		return nil
	}
	full := func(db *d1.Database) {
		t.Helper()
		if err := fill(db); err == nil || err.Error() != "Exceeded maximum DB size." {
			t.Errorf("%v", err)
		}
		if used := store.Used(); used > quota || used < quota-200_000 {
			t.Errorf("%d bytes are used", used)
		}
	}
	full(databases[0])
	full(databases[1]) // although it has next to nothing
	must(t, databases[0], "SELECT count(*) FROM t")
	must(t, databases[0], "DELETE FROM t WHERE rowid % 2")
	must(t, databases[0], "INSERT INTO t VALUES (randomblob(100000))") // into its own free pages

	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if store, err = d1.OpenStore(dir, d1.Options{MaxAccount: quota}); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if used := store.Used(); used > quota || used < quota-300_000 {
		t.Errorf("after a start %d bytes are used", used)
	}
	other, err := store.Database(ctx, infos[1].ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(ctx, "INSERT INTO t VALUES (randomblob(500000))"); err == nil || !strings.Contains(err.Error(), "Exceeded maximum DB size") {
		t.Errorf("after a start: %v", err)
	}
	if err := store.Delete(ctx, infos[0].ID); err != nil {
		t.Fatal(err)
	}
	must(t, other, "INSERT INTO t VALUES (randomblob(500000))")
	if used := store.Used(); used > 1<<20 {
		t.Errorf("%d bytes are used after the large database was deleted", used)
	}
}

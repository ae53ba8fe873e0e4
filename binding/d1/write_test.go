package d1_test

import (
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding/d1"
)

// BenchmarkInsert measures one insert per call, history and checkpoints
// included, with an index that is hit at random.
func BenchmarkInsert(b *testing.B) {
	store, err := d1.OpenStore(b.TempDir(), d1.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	db, err := store.Ensure(b.Context(), databaseID)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := db.Exec(b.Context(), "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, body TEXT); CREATE INDEX i ON t(name)"); err != nil {
		b.Fatal(err)
	}
	insert := db.Prepare("INSERT INTO t (name, body) VALUES (hex(randomblob(8)), ?)").Bind(strings.Repeat("lorem ipsum ", 15))
	for b.Loop() {
		if _, err := insert.All(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

package d1_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/internal/crashtest"
)

// crashChild writes for ever and prints each number once it is acknowledged.
func crashChild(args []string) error {
	ctx := context.Background()
	store, err := d1.OpenStore(args[0], d1.Options{})
	if err != nil {
		return err
	}
	db, err := store.Ensure(ctx, databaseID)
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, `CREATE TABLE IF NOT EXISTS single (n TEXT PRIMARY KEY, pad);
		CREATE TABLE IF NOT EXISTS a (n TEXT PRIMARY KEY); CREATE TABLE IF NOT EXISTS b (n TEXT PRIMARY KEY, pad)`)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	ack := func(kind, n string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(kind, n)
	}
	round := os.Getpid()
	failed := make(chan error, 2)
	go func() {
		for i := 0; ; i++ {
			n := fmt.Sprint(round, "-", i)
			_, err := db.Batch(ctx, db.Prepare("INSERT INTO a VALUES (?)").Bind(n), db.Prepare("INSERT INTO b VALUES (?, randomblob(300))").Bind(n))
			if err != nil {
				failed <- err
				return
			}
			ack("batch", n)
		}
	}()
	go func() {
		for i := 0; ; i++ {
			n := fmt.Sprint(round, "-", i)
			_, err := db.Prepare("INSERT INTO single VALUES (?, randomblob(100)) RETURNING n").Bind(n).All(ctx)
			if err != nil {
				failed <- err
				return
			}
			ack("single", n)
		}
	}()
	return <-failed
}

// TestKill kills a process that writes, again and again on the same database:
// nothing acknowledged is lost, every batch is there in whole or not at all,
// and the file is sound.
func TestKill(t *testing.T) {
	crashtest.Child(crashChild)
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	dir := t.TempDir()
	acked := map[string][]string{}
	for range rounds {
		c := crashtest.Start(t, dir)
		// After the kill the rest of the pipe still counts: the child wrote it.
		left := random.IntN(1500)
		for line := range c.Lines() {
			var kind, n string
			if _, err := fmt.Sscan(line, &kind, &n); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			acked[kind] = append(acked[kind], n)
			if left == 0 {
				c.Kill()
			}
			left--
		}
	}
	store, err := d1.OpenStore(dir, d1.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	db, err := store.Database(t.Context(), databaseID)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
	single, a, b := column(t, db, "single"), column(t, db, "a"), column(t, db, "b")
	for _, n := range acked["single"] {
		if !single[n] {
			t.Errorf("insert %s was acknowledged and is lost", n)
		}
	}
	for _, n := range acked["batch"] {
		if !a[n] || !b[n] {
			t.Errorf("batch %s was acknowledged and is lost", n)
		}
	}
	for n := range a {
		if !b[n] {
			t.Errorf("half of batch %s is there", n)
		}
	}
	if len(a) != len(b) {
		t.Errorf("table a has %d rows, table b %d", len(a), len(b))
	}
	t.Logf("%d kills, %d inserts and %d batches acknowledged", rounds, len(acked["single"]), len(acked["batch"]))
}

func column(t *testing.T, db *d1.Database, table string) map[string]bool {
	t.Helper()
	rows, err := db.Prepare("SELECT n FROM " + table).Raw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	for _, r := range rows {
		set[r[0].(string)] = true
	}
	return set
}

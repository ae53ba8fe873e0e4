package d1_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/selvage-edge/selvage/binding/d1"
)

// crashDir tells a test binary that it is the child that gets killed.
const crashDir = "SELVAGE_D1_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
	}
	os.Exit(m.Run())
}

// crashChild writes for ever and prints each number once it is acknowledged.
func crashChild(dir string) {
	ctx := context.Background()
	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	store, err := d1.Open(dir, d1.Options{})
	die(err)
	db, err := store.Ensure(ctx, databaseID)
	die(err)
	_, err = db.Exec(ctx, `CREATE TABLE IF NOT EXISTS single (n TEXT PRIMARY KEY, pad);
		CREATE TABLE IF NOT EXISTS a (n TEXT PRIMARY KEY); CREATE TABLE IF NOT EXISTS b (n TEXT PRIMARY KEY, pad)`)
	die(err)
	var mu sync.Mutex
	ack := func(kind, n string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(kind, n)
	}
	round := os.Getpid()
	go func() {
		for i := 0; ; i++ {
			n := fmt.Sprint(round, "-", i)
			_, err := db.Batch(ctx, db.Prepare("INSERT INTO a VALUES (?)").Bind(n), db.Prepare("INSERT INTO b VALUES (?, randomblob(300))").Bind(n))
			die(err)
			ack("batch", n)
		}
	}()
	for i := 0; ; i++ {
		n := fmt.Sprint(round, "-", i)
		_, err := db.Prepare("INSERT INTO single VALUES (?, randomblob(100)) RETURNING n").Bind(n).All(ctx)
		die(err)
		ack("single", n)
	}
}

// TestKill kills a process that writes, again and again on the same database:
// nothing acknowledged is lost, every batch is there in whole or not at all,
// and the file is sound.
func TestKill(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	dir := t.TempDir()
	acked := map[string][]string{}
	for range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// After the kill the rest of the pipe still counts: the child wrote it.
		left := random.IntN(1500)
		for lines := bufio.NewScanner(out); lines.Scan(); left-- {
			var kind, n string
			if _, err := fmt.Sscan(lines.Text(), &kind, &n); err == nil {
				acked[kind] = append(acked[kind], n)
			}
			if left == 0 {
				cmd.Process.Kill()
			}
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() == 3 {
			t.Fatal("the child failed before it was killed: ", err)
		}
	}
	store, err := d1.Open(dir, d1.Options{})
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

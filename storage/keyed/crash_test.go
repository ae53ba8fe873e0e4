package keyed

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/crashtest"
)

// crashChild commits pairs of rows from many goroutines until it is killed and
// names each pair once it is acknowledged.
func crashChild(args []string) error {
	d, err := Open(args[0], Options{MemTableBytes: 256 << 10}) // small, so that flushes are under way too
	if err != nil {
		return err
	}
	start := time.Now().UnixNano()
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", start, w, i)
				b := d.Batch()
				b.Set([]byte("qa"+id), make([]byte, i%3000))
				b.Set([]byte("qb"+id), []byte(id))
				if err := b.Commit(); err != nil {
					panic(err)
				}
				b.Close()
				os.Stdout.WriteString(id + "\n") // so short a write is atomic on a pipe
			}
		}()
	}
	select {}
}

// TestKillLosesNothing: over many kills of the same store every acknowledged
// batch is there, and no batch is there in part.
func TestKillLosesNothing(t *testing.T) {
	crashtest.Child(crashChild)
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var acked []string
	for round := range 10 {
		c := crashtest.Start(t, dir)
		want := len(acked) + 1 + r.IntN(500)
		for line := range c.Lines() {
			if acked = append(acked, line); len(acked) == want {
				c.Kill()
			}
		}
		if len(acked) < want {
			t.Fatalf("round %d: the child stopped by itself", round)
		}
		d, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		count := func(prefix string) map[string]bool {
			found := map[string]bool{}
			d.Scan([]byte(prefix), After([]byte(prefix)), func(k, _ []byte) bool {
				found[string(k[2:])] = true
				return true
			})
			return found
		}
		a, b := count("qa"), count("qb")
		for _, id := range acked {
			if !a[id] || !b[id] {
				t.Fatalf("round %d: acknowledged %s is lost", round, id)
			}
		}
		for id := range a {
			if !b[id] {
				t.Fatalf("round %d: half of %s is there", round, id)
			}
		}
		if len(a) != len(b) {
			t.Fatalf("round %d: %d first rows, %d second rows", round, len(a), len(b))
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged batches survived", len(acked))
}

package analytics

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/crashtest"
)

// crashChild writes points 0, 1, 2, … to two data sets until it is killed, and
// tells how many have been written before each Flush that returned.
func crashChild(args []string) error {
	s, err := OpenStore(args[0], Options{})
	if err != nil {
		return err
	}
	first, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for i := first; ; i++ {
		for _, dataset := range []string{"even", "odd"} {
			if err := s.Write(dataset, Point{Index: fmt.Sprint(i), Doubles: []float64{float64(i)}}); err != nil {
				return err
			}
		}
		if i%50 == 49 {
			if err := s.Flush(context.Background()); err != nil {
				return err
			}
			os.Stdout.WriteString(fmt.Sprintf("%d\n", i))
		}
	}
}

// Whenever the process is killed: each point that was flushed is there, each
// point is there at most once and whole, and those that are missing are the last.
func TestKill(t *testing.T) {
	crashtest.Child(crashChild)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	flushed, next := -1, 0
	for round := range 6 {
		c := crashtest.Start(t, dir, fmt.Sprint(next))
		left := 1 + r.IntN(10)
		for line := range c.Lines() {
			if left--; left == 0 {
				time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, c.Kill)
			}
			n, err := strconv.Atoi(line)
			if err != nil {
				t.Fatal(err)
			}
			flushed = n
		}
		s, err := OpenStore(dir, Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, dataset := range []string{"even", "odd"} {
			var count, distinct, last int
			got := ask(t, s, "SELECT count(), count(DISTINCT double1), toUInt32(max(double1)), sum(_sample_interval) FROM "+dataset)
			var sum int
			if _, err := fmt.Sscanf(got, "%d\t%d\t%d\t%d", &count, &distinct, &last, &sum); err != nil {
				t.Fatalf("%s: %v", got, err)
			}
			if count != distinct || count != last+1 || sum != count || last < flushed {
				t.Errorf("round %d, %s: %d points, %d distinct, sum %d, the last is %d; flushed were those up to %d", round, dataset, count, distinct, sum, last, flushed)
			}
			next = last + 1
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

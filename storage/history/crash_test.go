package history_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/crashtest"
	"github.com/selvage-edge/selvage/storage/history"
)

var crashOptions = history.Options{Frames: 60}

// crashChild changes a database for ever, with checkpoints, restores and
// restarts in between, and prints each bookmark and its state once it is
// acknowledged.
func crashChild(args []string) error {
	path := args[0]
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	d, err := open(path, crashOptions)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(seed, 2))
	marks := []uint64{d.mark}
	for {
		switch n := r.IntN(100); {
		case n < 2:
			if err = d.Close(); err == nil {
				d, err = open(path, crashOptions)
			}
		case n < 5:
			_, _, err = d.restore(marks[r.IntN(len(marks))])
		default:
			err = step(r, d, 5)
		}
		if err != nil && !strings.Contains(err.Error(), "no such table") {
			return err
		}
		if d.mark != marks[len(marks)-1] {
			state, err := d.digest()
			if err != nil {
				return err
			}
			marks = append(marks, d.mark)
			fmt.Println(d.mark, state)
		}
	}
}

// TestKill kills a process that changes a database, again and again: nothing
// acknowledged is lost, and every acknowledged bookmark stands for exactly the
// state it stood for.
func TestKill(t *testing.T) {
	crashtest.Child(crashChild)
	rounds, restores := 25, 40
	if testing.Short() {
		rounds, restores = 5, 10
	}
	const seed = 3
	r := rand.New(rand.NewPCG(seed, seed))
	path := filepath.Join(t.TempDir(), "x.sqlite")
	states := map[uint64]string{}
	var marks []uint64
	var last []uint64 // of each round
	for round := range rounds {
		c := crashtest.Start(t, path, fmt.Sprint(round))
		// After the kill the rest of the pipe still counts: the child wrote it.
		left := r.IntN(60)
		for line := range c.Lines() {
			var mark uint64
			var state string
			if _, err := fmt.Sscan(line, &mark, &state); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if len(marks) > 0 && mark <= marks[len(marks)-1] {
				t.Fatalf("bookmark %x after %x", mark, marks[len(marks)-1])
			}
			marks, states[mark] = append(marks, mark), state
			if left == 0 {
				c.Kill()
			}
			left--
		}
		if len(marks) > 0 {
			last = append(last, marks[len(marks)-1])
		}
	}
	d, err := open(path, crashOptions)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if newest := last[len(last)-1]; d.mark < newest || d.mark == newest && d.state(t) != states[newest] {
		t.Errorf("the database is at bookmark %x, and %x was acknowledged", d.mark, newest)
	}
	for _, mark := range marks {
		if got, err := d.h.Find(mark); err != nil || got != mark {
			t.Fatalf("bookmark %x is found as %x, %v", mark, got, err)
		}
	}
	r.Shuffle(len(marks), func(i, j int) { marks[i], marks[j] = marks[j], marks[i] })
	for _, mark := range append(last, marks[:min(restores, len(marks))]...) {
		target, _, err := d.restore(mark)
		if err != nil || target != mark {
			t.Fatalf("restoring %x: %x, %v", mark, target, err)
		}
		if got := d.state(t); got != states[mark] {
			t.Errorf("restoring %x gave %s, want %s", mark, got, states[mark])
		}
	}
	t.Logf("%d kills, %d bookmarks acknowledged", rounds, len(marks))
}

// TestMoments opens copies of the files as a kill would leave them at moments
// that kills seldom hit: between a commit and its mark; after a segment was
// written and before that was noted; after that and before the checkpoint,
// which a reader holds up.
func TestMoments(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	path := filepath.Join(t.TempDir(), "x.sqlite")
	o := history.Options{Frames: 15, Logger: silent}
	d, err := open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	states := map[uint64]string{d.mark: d.state(t)}
	marks := []uint64{d.mark}
	segments := func() int {
		list, _ := filepath.Glob(filepath.Join(path+".history", "*.segment"))
		return len(list)
	}
	opened := map[string]int{}
	check := func(moment, path string) {
		t.Helper()
		opened[moment]++
		c, err := open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, mark := range []uint64{marks[len(marks)-1], marks[r.IntN(len(marks))], marks[r.IntN(len(marks))]} {
			if target, _, err := c.restore(mark); err != nil || target != mark {
				t.Fatalf("%s: restoring %x: %x, %v", moment, mark, target, err)
			}
			if got := c.state(t); got != states[mark] {
				t.Fatalf("%s: restoring %x gave %s, want %s", moment, mark, got, states[mark])
			}
		}
	}
	var release func()
	defer func() {
		if release != nil {
			release()
		}
	}()
	for i := range 400 {
		copied := ""
		d.before = func() {
			if r.IntN(6) == 0 {
				copied = snapshot(t, path)
			}
		}
		if release == nil && r.IntN(10) == 0 {
			release = hold(t, d)
		} else if release != nil && r.IntN(10) == 0 {
			release()
			release = nil
		}
		before := segments()
		if err := step(r, d, 5); err != nil && !strings.Contains(err.Error(), "no such table") {
			t.Fatal(err)
		}
		if copied != "" {
			check("no mark", copied)
		}
		if d.mark != marks[len(marks)-1] {
			marks, states[d.mark] = append(marks, d.mark), d.state(t)
		}
		if segments() > before {
			copied = snapshot(t, path)
			file := filepath.Join(copied+".history", "marks")
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			moment := fmt.Sprintf("segment, reader %t", release != nil)
			if i%2 == 0 && info.Size() > 28 {
				moment = "segment not noted"
				if err := os.Truncate(file, info.Size()-28); err != nil {
					t.Fatal(err)
				}
			}
			check(moment, copied)
		}
	}
	if len(opened) != 4 {
		t.Errorf("moments: %v, want four kinds", opened)
	}
}

// snapshot copies a database with all that belongs to it.
func snapshot(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.sqlite")
	if err := os.CopyFS(to+".history", os.DirFS(path+".history")); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err == nil {
			err = os.WriteFile(to+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

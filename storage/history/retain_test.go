package history_test

import (
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/storage/history"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// TestKeep: a state can be gone back to until Options.Keep after it was left.
func TestKeep(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	d := create(t, history.Options{Now: func() time.Time { return now }, Frames: 1})
	d.must(t, "CREATE TABLE t(a)")
	day := map[int]uint64{}
	for i := range 40 {
		now = now.Add(24 * time.Hour)
		day[i] = d.must(t, "INSERT INTO t VALUES(?)", i)
	}
	var gone *history.GoneError
	// The state of day 8 was left on day 9, which is 30 days ago.
	for i, want := range map[int]bool{39: true, 30: true, 8: true, 7: false, 0: false} {
		got, err := d.h.Find(day[i])
		if want && (err != nil || got != day[i]) || !want && !errors.As(err, &gone) {
			t.Errorf("day %d: found %x, %v", i, got, err)
		}
	}
	if gone.Oldest != day[8] {
		t.Errorf("the oldest is of %s, want %s", history.Time(gone.Oldest), history.Time(day[8]))
	}
	if target, _, err := d.restore(day[8]); err != nil || target != day[8] {
		t.Errorf("the oldest state: %x, %v", target, err)
	}
	if n := d.number(t, "SELECT count(*) FROM t"); n != 9 {
		t.Errorf("the oldest state has %d rows, want 9", n)
	}
	// A time between two bookmarks means the state then.
	if got, err := d.h.Find(uint64(history.Time(day[20]).Add(time.Hour).UnixMicro())); err != nil || got != day[20] {
		t.Errorf("an hour after day 20: %x, want %x, %v", got, day[20], err)
	}
	if _, _, err := d.restore(d.mark + 1); !errors.Is(err, history.ErrUnknown) {
		t.Errorf("a bookmark of the future: %v", err)
	}
}

// TestBudget: over Options.Budget the oldest states go, and only they.
func TestBudget(t *testing.T) {
	const budget = 100_000
	d := create(t, history.Options{Frames: 1, Budget: budget})
	d.must(t, "CREATE TABLE t(a PRIMARY KEY, b)")
	var marks []uint64
	for i := range 150 {
		marks = append(marks, d.must(t, "INSERT OR REPLACE INTO t VALUES(?, randomblob(2000))", i%10))
	}
	size := int64(0)
	files, _ := filepath.Glob(filepath.Join(d.Path()+".history", "*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil { // not thinned meanwhile
			size += info.Size()
		}
	}
	if size > 2*budget { // what is being thinned is there twice
		t.Errorf("the history has %d bytes", size)
	}
	kept := 0
	for i, m := range marks {
		_, err := d.h.Find(m)
		if err == nil {
			kept++
		} else if kept > 0 {
			t.Errorf("state %d is gone, an older one is there", i)
		}
	}
	if kept < 10 || kept == len(marks) {
		t.Errorf("%d of %d states are kept", kept, len(marks))
	}
}

// TestThin: over the budget the last state of each minute stays, exactly as it
// was, and stands for those after it.
func TestThin(t *testing.T) {
	runs := 4
	if testing.Short() {
		runs = 1
	}
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 5))
		now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		path := filepath.Join(t.TempDir(), "x.sqlite")
		o := history.Options{Now: func() time.Time { return now }, Frames: 1 + 4*int(seed), Budget: 150_000}
		d, err := open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		d.must(t, "CREATE TABLE hot (id INTEGER PRIMARY KEY, b)")
		states := map[uint64]string{d.mark: d.state(t)}
		marks := []uint64{d.mark}
		for range 200 {
			now = now.Add(time.Duration(r.IntN(20)) * time.Second)
			switch r.IntN(20) {
			case 0:
				err = step(r, d, 1)
			case 1:
				err = d.exec("DELETE FROM hot WHERE id > 0")
			case 2: // the file shrinks
				err = d.exec("VACUUM")
			default:
				err = d.exec("INSERT OR REPLACE INTO hot VALUES(?, randomblob(3000))", r.IntN(2))
			}
			if err != nil && !strings.Contains(err.Error(), "no such table") {
				t.Fatal(err)
			}
			if d.mark != marks[len(marks)-1] {
				marks, states[d.mark] = append(marks, d.mark), d.state(t)
			}
			if r.IntN(8) == 0 { // which waits for the background
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				if d, err = open(path, o); err != nil {
					t.Fatal(err)
				}
			}
		}
		exact, thinned := 0, 0
		var targets []uint64
		for i, m := range marks {
			got, err := d.h.Find(m)
			if err != nil {
				continue
			}
			switch {
			case states[got] == "":
				t.Fatalf("%x is found as %x, which is no state's", m, got)
			case got == m:
				exact++
				targets = append(targets, m)
			default:
				thinned++
				if i+1 < len(marks) && history.Time(marks[i+1]).Truncate(time.Minute) != history.Time(m).Truncate(time.Minute) {
					t.Errorf("the last state of the minute of %s is gone", history.Time(m))
				}
			}
		}
		if exact == 0 || thinned == 0 {
			t.Errorf("seed %d: of %d states %d are kept and %d have been thinned out", seed, len(marks), exact, thinned)
		}
		for range 30 {
			m := targets[r.IntN(len(targets))]
			target, _, err := d.restore(m)
			var gone *history.GoneError
			if errors.As(err, &gone) || err == nil && target < m {
				continue // thinned or dropped by the restores themselves
			}
			if err != nil {
				t.Fatalf("seed %d: restoring %x: %v", seed, m, err)
			}
			if got := d.state(t); got != states[m] {
				t.Errorf("seed %d: restoring %x gave %s, want %s", seed, m, got, states[m])
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		// A kill between the last steps of thinning leaves old segments behind.
		folded, err := filepath.Glob(filepath.Join(path+".history", "*-*.segment"))
		if err != nil || len(folded) == 0 {
			t.Fatalf("folded segments: %v, %v", folded, err)
		}
		old := filepath.Join(path+".history", filepath.Base(folded[0])[:8]+".segment")
		if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		if d, err = open(path, o); err != nil {
			t.Fatal(err)
		}
		if got, err := d.h.Find(targets[len(targets)-1]); err != nil {
			t.Errorf("beside an old segment: %x, %v", got, err)
		}
		if _, err := os.Stat(old); err == nil {
			t.Error("the old segment is still there")
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestDamage: whatever happens to the files of a history shortens it and leaves
// the database as it is.
func TestDamage(t *testing.T) {
	cut := func(path string) error { return os.Truncate(path, 50) }
	flip := func(path string) error {
		b, err := os.ReadFile(path)
		if err == nil {
			b[len(b)/3] ^= 1
			err = os.WriteFile(path, b, 0o600)
		}
		return err
	}
	tests := []struct {
		name string
		file string
		do   func(string) error
		kept bool // states after the damaged file can still be restored
	}{
		{"segment missing", "00000005.segment", os.Remove, true},
		{"segment cut off", "00000005.segment", cut, true},
		{"segment changed", "00000005.segment", flip, true},
		{"marks missing", "marks", os.Remove, false},
		{"marks changed", "marks", func(p string) error { return os.WriteFile(p, []byte("nonsense"), 0o600) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.sqlite")
			o := history.Options{Frames: 1, Logger: silent}
			d, err := open(path, o)
			if err != nil {
				t.Fatal(err)
			}
			d.must(t, "CREATE TABLE t(a)")
			var marks []uint64
			for i := range 10 {
				marks = append(marks, d.must(t, "INSERT INTO t VALUES(randomblob(?))", 1000*i))
			}
			want := d.state(t)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if err := tt.do(filepath.Join(path+".history", tt.file)); err != nil {
				t.Fatal(err)
			}
			if d, err = open(path, o); err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if _, _, err := d.restore(marks[0]); err == nil {
				t.Error("a state before the damage was restored")
			}
			if got := d.state(t); got != want {
				t.Error("the database has changed")
			}
			target, _, err := d.restore(marks[8])
			if (err == nil && target == marks[8]) != tt.kept {
				t.Errorf("a state after the damage: %x, %v", target, err)
			}
			before := d.mark
			d.must(t, "INSERT INTO t VALUES(2)")
			if _, _, err := d.restore(before); err != nil {
				t.Errorf("the history does not go on: %v", err)
			}
		})
	}
}

// TestForeign: a database that another program has written to is not restored
// to a mixture of states.
func TestForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sqlite")
	o := history.Options{Frames: 1, Logger: silent}
	d, err := open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	d.must(t, "CREATE TABLE t(a)")
	first := d.must(t, "INSERT INTO t VALUES(1)")
	d.must(t, "INSERT INTO t VALUES(2)")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	other := foreign(t, path)
	if err := other.exec("INSERT INTO t VALUES(3)"); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = open(path, o); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, _, err := d.restore(first); !errors.Is(err, history.ErrUnfit) {
		t.Errorf("restored over a change of another program: %v", err)
	}
	if n := d.number(t, "SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}

// TestConcurrent: while some write, read and ask, restores happen as a whole.
func TestConcurrent(t *testing.T) {
	d := create(t, history.Options{Frames: 20})
	d.must(t, "CREATE TABLE a(n)")
	d.must(t, "CREATE TABLE b(n)")
	start := d.mark
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for i := range 60 {
				if err := d.both(i); err != nil {
					t.Error(err)
				}
			}
		})
		group.Go(func() {
			for range 60 {
				if diff := d.number(t, "SELECT (SELECT count(*) FROM a) - (SELECT count(*) FROM b)"); diff != 0 {
					t.Errorf("a reader sees %d rows more in one table than in the other", diff)
				}
				if _, err := d.h.Find(d.h.Bookmark()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Go(func() {
		for range 6 {
			if _, _, err := d.restore(start); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	if err := d.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

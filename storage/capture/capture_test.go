package capture_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/storage/capture"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// bench is a database and its history.
type bench struct {
	t       testing.TB
	path    string
	db      *sqlite.DB
	history *capture.History
	options capture.Options
}

func newBench(t testing.TB, o capture.Options) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "object.sqlite"), options: o}
	b.open()
	b.history = b.fresh()
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.db, err = sqlite.Open(b.path, sqlite.Options{}); err != nil {
		b.t.Fatal(err)
	}
	db := b.db
	b.t.Cleanup(func() { db.Close() })
}

// fresh is the history as another process would find it.
func (b *bench) fresh() *capture.History {
	return capture.New(b.path, filepath.Join(filepath.Dir(b.path), "history", "object"), b.options)
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if err := b.db.Write(context.Background(), func(c *sqlite.Conn) error { return c.Exec(sql, args...) }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) capture() uint64 {
	b.t.Helper()
	mark, err := b.history.Capture(b.t.Context(), capture.How{})
	if err != nil {
		b.t.Fatal(err)
	}
	return mark
}

// rows are those of a database file, as text.
func rows(t testing.TB, path string) string {
	t.Helper()
	db, err := sqlite.Open(path, sqlite.Options{Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
	var text strings.Builder
	err = db.Read(t.Context(), func(c *sqlite.Conn) error {
		return c.Query("SELECT k, length(v), substr(hex(v), 1, 16) FROM kv ORDER BY k", nil, func(s *sqlite.Stmt) error {
			fmt.Fprintln(&text, s.ColumnText(0), s.ColumnText(1), s.ColumnText(2))
			return nil
		})
	})
	if err != nil && !strings.Contains(err.Error(), "no such table") {
		t.Fatal(err)
	}
	return text.String()
}

// was gives the rows of an earlier state.
func (b *bench) was(h *capture.History, mark uint64) string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "rebuilt")
	if err := h.Rebuild(b.t.Context(), mark, path); err != nil {
		b.t.Fatalf("rebuild %d: %v", mark, err)
	}
	return rows(b.t, path)
}

// now copies the database as it is and gives its rows.
func (b *bench) now() string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "copy")
	if err := b.db.Backup(b.t.Context(), path); err != nil {
		b.t.Fatal(err)
	}
	return rows(b.t, path)
}

// Whatever happens to the database, each captured state can be rebuilt, by the
// process that captured it and by the next.
func TestEveryStateComesBack(t *testing.T) {
	b := newBench(t, capture.Options{})
	random := rand.New(rand.NewPCG(1, 2))
	states := map[uint64]string{}
	last := uint64(0)
	note := func() {
		t.Helper()
		mark := b.capture()
		if mark < last {
			t.Errorf("bookmark %d after %d", mark, last)
		}
		last = mark
		state := b.now()
		if before, ok := states[mark]; ok && before != state {
			t.Errorf("bookmark %d has two states", mark)
		}
		states[mark] = state
	}
	note() // there is nothing in it
	b.exec("CREATE TABLE kv (k INTEGER PRIMARY KEY, v BLOB)")
	for i := range 60 {
		switch random.IntN(8) {
		case 0:
			b.exec("DELETE FROM kv WHERE k % 3 = ?", random.IntN(3))
		case 1:
			b.exec("VACUUM")
		case 2:
			if err := b.db.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		case 3: // nobody has it open
			if err := b.db.Close(); err != nil {
				t.Fatal(err)
			}
			mark := b.capture()
			b.open()
			states[mark], last = b.now(), mark
		case 4:
			b.history = b.fresh()
		default:
			b.exec("INSERT OR REPLACE INTO kv VALUES (?, randomblob(?))", random.IntN(300), random.IntN(20000))
		}
		if i%3 == 0 {
			note()
		}
	}
	for _, h := range []*capture.History{b.history, b.fresh()} {
		for mark, want := range states {
			if got := b.was(h, mark); got != want {
				t.Fatalf("bookmark %d:\n%s\nwant:\n%s", mark, got, want)
			}
		}
	}
}

// A database that is deleted and made anew, as deleteAll() does, is a state like
// any other.
func TestFileReplaced(t *testing.T) {
	b := newBench(t, capture.Options{})
	b.exec("CREATE TABLE kv (k INTEGER PRIMARY KEY, v BLOB)")
	b.exec("INSERT INTO kv VALUES (1, 'old')")
	full := b.capture()
	b.db.Close()
	if err := os.Remove(b.path); err != nil {
		t.Fatal(err)
	}
	gone := b.capture()
	b.open()
	b.exec("CREATE TABLE kv (k INTEGER PRIMARY KEY, v BLOB)")
	b.exec("INSERT INTO kv VALUES (2, 'new')")
	fresh := b.capture()
	for mark, want := range map[uint64]string{full: "1 3 6F6C64\n", gone: "", fresh: "2 3 6E6577\n"} {
		if got := b.was(b.history, mark); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What is captured while somebody writes is a state that the database was in.
func TestCaptureWhileWritten(t *testing.T) {
	b := newBench(t, capture.Options{})
	b.exec("CREATE TABLE kv (k INTEGER PRIMARY KEY, v BLOB)")
	b.exec("CREATE TABLE sum (n INTEGER)")
	b.exec("INSERT INTO sum VALUES (0)")
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		random := rand.New(rand.NewPCG(3, 4))
		for i := 0; ctx.Err() == nil; i++ {
			err := b.db.Write(context.Background(), func(c *sqlite.Conn) error {
				return c.Tx(func() error {
					for range 1 + random.IntN(20) {
						if err := c.Exec("INSERT OR REPLACE INTO kv VALUES (?, randomblob(?))", random.IntN(200), 100+random.IntN(9000)); err != nil {
							return err
						}
					}
					return c.Exec("UPDATE sum SET n = (SELECT sum(length(v)) FROM kv)")
				})
			})
			if err == nil && i%10 == 0 {
				err = b.db.Checkpoint(context.Background())
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	marks := map[uint64]bool{}
	busy := 0
	for len(marks) < 20 && busy < 400 {
		mark, err := b.history.Capture(ctx, capture.How{})
		if errors.Is(err, capture.ErrBusy) {
			busy++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		marks[mark] = true
	}
	cancel()
	writer.Wait()
	if len(marks) < 10 {
		t.Fatalf("%d captures succeeded, %d did not", len(marks), busy)
	}
	for mark := range marks {
		path := filepath.Join(t.TempDir(), "rebuilt")
		if err := b.history.Rebuild(t.Context(), mark, path); err != nil {
			t.Fatal(err)
		}
		db, err := sqlite.Open(path, sqlite.Options{Readers: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Check(t.Context()); err != nil {
			t.Fatalf("bookmark %d: %v", mark, err)
		}
		err = db.Read(t.Context(), func(c *sqlite.Conn) error {
			return c.Query("SELECT n = (SELECT coalesce(sum(length(v)), 0) FROM kv) FROM sum", nil, func(s *sqlite.Stmt) error {
				if s.ColumnInt64(0) != 1 {
					t.Errorf("bookmark %d is a state that the database was never in", mark)
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
	}
	t.Logf("%d states, %d times busy", len(marks), busy)
}

// Bookmarks are the times of the states, and find them.
func TestFind(t *testing.T) {
	b := newBench(t, capture.Options{})
	if _, err := b.history.Find(uint64(time.Now().UnixMicro())); !gone(err, 0) {
		t.Errorf("without a history: %v", err)
	}
	b.exec("CREATE TABLE kv (k INTEGER PRIMARY KEY, v BLOB)")
	first := b.capture()
	if again := b.capture(); again != first {
		t.Errorf("the same state has bookmarks %d and %d", first, again)
	}
	if age := time.Since(capture.Time(first)); age < 0 || age > time.Minute {
		t.Errorf("the state is %v old", age)
	}
	undo, err := b.history.Reserve()
	if err != nil || undo <= first {
		t.Fatalf("reserved %d after %d: %v", undo, first, err)
	}
	b.exec("INSERT INTO kv VALUES (1, 'one')")
	second, err := b.history.Capture(t.Context(), capture.How{Sync: true, Alias: undo})
	if err != nil || second <= undo {
		t.Fatalf("%d after %d: %v", second, undo, err)
	}
	for _, h := range []*capture.History{b.history, b.fresh()} {
		for at, want := range map[uint64]uint64{first: first, second - 1: first, second: second, second + 1e9: second} {
			if got, err := h.Find(at); got != want || err != nil {
				t.Errorf("Find(%d) = %d, %v, want %d", at, got, err, want)
			}
		}
		if _, err := h.Find(first - 1); !gone(err, first) {
			t.Errorf("before the first: %v", err)
		}
		for mark, want := range map[uint64]error{first: nil, second: nil, undo: nil, first + 1: capture.ErrUnknown, second + 1: capture.ErrUnknown} {
			if err := h.Has(mark); !errors.Is(err, want) {
				t.Errorf("Has(%d): %v, want %v", mark, err, want)
			}
		}
		if err := h.Rebuild(t.Context(), first-1, filepath.Join(t.TempDir(), "none")); !gone(err, first) {
			t.Errorf("rebuild of what is too old: %v", err)
		}
		if b.was(h, undo) != b.was(h, second) {
			t.Error("the alias is another state")
		}
	}
}

func gone(err error, oldest uint64) bool {
	var g *capture.GoneError
	return errors.As(err, &g) && g.Oldest == oldest
}

// A history stays within its budget and within its time; what it still has is right.
func TestTrim(t *testing.T) {
	for name, o := range map[string]capture.Options{
		"budget": {Budget: 1 << 20},
		"age":    {Keep: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			o.Now = func() time.Time { return now }
			b := newBench(t, o)
			b.exec("CREATE TABLE kv (k INTEGER PRIMARY KEY, v BLOB)")
			states := map[uint64]string{}
			var marks []uint64
			file := filepath.Join(filepath.Dir(b.path), "history", "object")
			for i := range 80 {
				now = now.Add(30 * time.Minute)
				b.exec("INSERT OR REPLACE INTO kv VALUES (?, randomblob(20000))", i%10)
				if err := os.Chtimes(b.path+"-wal", now, now); err != nil {
					t.Fatal(err)
				}
				mark := b.capture()
				states[mark], marks = b.now(), append(marks, mark)
				if err := b.history.Trim(); err != nil {
					t.Fatal(err)
				}
				if info, err := os.Stat(file); err != nil || o.Budget > 0 && info.Size() > o.Budget {
					t.Fatalf("the history has %v bytes, %v", info.Size(), err)
				}
			}
			kept, h := 0, b.fresh()
			for i, mark := range marks {
				err := h.Has(mark)
				if kept > 0 && err != nil {
					t.Errorf("state %d is not kept, but one before it is: %v", i, err)
				}
				if err != nil {
					continue
				}
				if kept++; b.was(h, mark) != states[mark] {
					t.Errorf("state %d is another", i)
				}
				if o.Keep > 0 && now.Sub(capture.Time(mark)) > o.Keep+25*time.Hour {
					t.Errorf("a state is still there after %v", now.Sub(capture.Time(mark)))
				}
			}
			if kept < 7 || kept == len(marks) {
				t.Errorf("%d of %d states are kept", kept, len(marks))
			}
		})
	}
}

// A database that does not fit has no history, and leaves nothing.
func TestTooLarge(t *testing.T) {
	for name, o := range map[string]capture.Options{"budget": {Budget: 64 << 10}, "size": {Largest: 64 << 10}} {
		b := newBench(t, o)
		b.exec("CREATE TABLE kv (k INTEGER PRIMARY KEY, v BLOB)")
		b.exec("INSERT INTO kv VALUES (1, randomblob(200000))")
		if _, err := b.history.Capture(t.Context(), capture.How{}); !errors.Is(err, capture.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(b.path), "history", "*")); len(left) > 0 {
			t.Errorf("%s: left %s", name, left)
		}
		b.exec("DELETE FROM kv")
		b.exec("VACUUM")
		if err := b.db.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		small := b.capture()
		b.exec("INSERT INTO kv VALUES (1, zeroblob(200000))")
		if _, err := b.history.Capture(t.Context(), capture.How{}); err != nil && !errors.Is(err, capture.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		if err := b.fresh().Has(small); err != nil {
			t.Errorf("%s: the history of when it was small: %v", name, err)
		}
	}
}

// A database is looked at again only if it may have changed.
func TestChanged(t *testing.T) {
	b := newBench(t, capture.Options{})
	b.exec("CREATE TABLE kv (k INTEGER PRIMARY KEY, v BLOB)")
	if !b.history.Changed() {
		t.Error("what has no history is not captured")
	}
	quiet := func() bool { b.capture(); return !b.fresh().Changed() }
	poll.Until(t, "it counts as unchanged", quiet)
	b.exec("INSERT INTO kv VALUES (1, 'one')")
	if !b.fresh().Changed() {
		t.Error("a change is not seen")
	}
	poll.Until(t, "it counts as unchanged", quiet)
	if err := b.db.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !b.fresh().Changed() {
		t.Error("a change of the file is not seen")
	}
	poll.Until(t, "it counts as unchanged", quiet)
	// A capture that did not come to its end leaves the database to be looked at.
	file := filepath.Join(filepath.Dir(b.path), "history", "object")
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("half a record")); err != nil {
		t.Fatal(err)
	}
	if !b.fresh().Changed() {
		t.Error("a capture was cut off, and the state is taken for captured")
	}
}

package capture_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/crashtest"
	"github.com/selvage-edge/selvage/storage/capture"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// crashOptions make a history that is written anew all the time.
var crashOptions = capture.Options{Budget: 400 << 10}

// captureForever writes a database whose states are numbered, captures them and
// tells the bookmarks.
func captureForever(args []string) error {
	dir := args[0]
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(dir, "object.sqlite")
	db, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	h := capture.New(path, filepath.Join(dir, "history", "object"), crashOptions)
	err = db.Write(ctx, func(c *sqlite.Conn) error {
		if err := c.Exec("CREATE TABLE IF NOT EXISTS state (n INTEGER)"); err != nil {
			return err
		}
		return c.Exec("CREATE TABLE IF NOT EXISTS kv (k INTEGER PRIMARY KEY, v BLOB)")
	})
	if err != nil {
		return err
	}
	for {
		n := random.Int64()
		err := db.Write(ctx, func(c *sqlite.Conn) error {
			return c.Tx(func() error {
				return errors.Join(c.Exec("DELETE FROM state"), c.Exec("INSERT INTO state VALUES (?)", n),
					c.Exec("INSERT OR REPLACE INTO kv VALUES (?, randomblob(?))", random.IntN(20), random.IntN(10000)))
			})
		})
		if err != nil {
			return err
		}
		mark, err := h.Capture(ctx, capture.How{Sync: true})
		if err == nil {
			fmt.Println("state", mark, n)
			err = h.Trim()
		}
		if err != nil && !errors.Is(err, capture.ErrBusy) {
			return err
		}
	}
}

// A bookmark means the same state after a kill at any moment, as long as it is kept.
func TestKill(t *testing.T) {
	crashtest.Child(captureForever)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	states := map[uint64]string{}
	var newest uint64
	for range 6 {
		p := crashtest.Start(t, dir, fmt.Sprint(random.Uint64()))
		lines, most := 0, 1+random.IntN(40)
		for line := range p.Lines() {
			var mark uint64
			var n string
			if _, err := fmt.Sscanf(line, "state %d %s", &mark, &n); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if mark <= newest {
				t.Fatalf("bookmark %d after %d", mark, newest)
			}
			states[mark], newest = n, mark
			if lines++; lines == most {
				p.Kill()
			}
		}
		h := capture.New(filepath.Join(dir, "object.sqlite"), filepath.Join(dir, "history", "object"), crashOptions)
		kept := 0
		for mark, n := range states {
			path := filepath.Join(t.TempDir(), "rebuilt")
			err := h.Rebuild(t.Context(), mark, path)
			var old *capture.GoneError
			if errors.As(err, &old) {
				continue
			}
			if err != nil {
				t.Fatalf("bookmark %d: %v", mark, err)
			}
			kept++
			if random.IntN(4) > 0 && mark != newest {
				continue
			}
			if got := stateOf(t, path); got != n {
				t.Fatalf("bookmark %d is state %s, want %s", mark, got, n)
			}
		}
		if err := h.Has(newest); err != nil {
			t.Fatalf("the newest of %d states: %v", len(states), err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "history", "*.new")); len(left) > 1 {
			t.Errorf("left: %s", left)
		}
	}
}

func stateOf(t *testing.T, path string) string {
	db, err := sqlite.Open(path, sqlite.Options{Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	err = db.Read(t.Context(), func(c *sqlite.Conn) error {
		return c.Query("SELECT n FROM state", nil, func(s *sqlite.Stmt) error {
			text.WriteString(s.ColumnText(0))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

package history_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/selvage-edge/selvage/storage/history"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

// database is a database with its history, as a store opens it.
type database struct {
	*sqlite.DB
	h    *history.History
	mark uint64 // after the last write
	// before is called between a commit and its mark, if it is set.
	before func()
}

func open(path string, o history.Options) (*database, error) {
	d := &database{}
	db, err := sqlite.Open(path, sqlite.Options{
		OwnCheckpoints: true,
		Committed: func(c *sqlite.Conn, frames int) {
			if d.before != nil {
				d.before()
			}
			d.mark = d.h.Committed(c, frames)
		},
		Closing: func(c *sqlite.Conn) bool { return d.h.Close(c) },
	})
	if err != nil {
		return nil, err
	}
	d.DB = db
	err = db.Write(context.Background(), func(c *sqlite.Conn) error {
		d.h, err = history.Open(c, path, path+".history", o)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.mark = d.h.Bookmark()
	return d, nil
}

func (d *database) exec(sql string, args ...any) error {
	return d.Write(context.Background(), func(c *sqlite.Conn) error { return c.Exec(sql, args...) })
}

func (d *database) must(t testing.TB, sql string, args ...any) uint64 {
	t.Helper()
	if err := d.exec(sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return d.mark
}

// both writes to two tables in one transaction.
func (d *database) both(n int) error {
	return d.Write(context.Background(), func(c *sqlite.Conn) error {
		return c.Tx(func() error {
			return errors.Join(c.Exec("INSERT INTO a VALUES(?)", n), c.Exec("INSERT INTO b VALUES(randomblob(?))", n*50))
		})
	})
}

func (d *database) number(t testing.TB, sql string) (n int64) {
	t.Helper()
	err := d.Read(context.Background(), func(c *sqlite.Conn) error {
		return c.Query(sql, nil, func(s *sqlite.Stmt) error { n = s.ColumnInt64(0); return nil })
	})
	if err != nil {
		t.Errorf("%s: %v", sql, err)
	}
	return n
}

// create opens a new database for the time of a test.
func create(t *testing.T, o history.Options) *database {
	t.Helper()
	d, err := open(filepath.Join(t.TempDir(), "x.sqlite"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// foreign opens a database as a program does that knows nothing of histories.
func foreign(t *testing.T, path string) *database {
	t.Helper()
	db, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &database{DB: db}
}

func (d *database) restore(bookmark uint64) (target, previous uint64, err error) {
	err = d.Write(context.Background(), func(c *sqlite.Conn) error {
		target, previous, err = d.h.Restore(context.Background(), c, bookmark)
		return err
	})
	return target, previous, err
}

// digest is a hash of everything that SQL can see.
func (d *database) digest() (string, error) {
	hash := sha256.New()
	err := d.Read(context.Background(), func(c *sqlite.Conn) error {
		return c.Tx(func() error {
			var tables []string
			err := c.Query("SELECT type, name, sql FROM sqlite_master ORDER BY type, name", nil, func(s *sqlite.Stmt) error {
				fmt.Fprintln(hash, s.ColumnText(0), s.ColumnText(1), s.ColumnText(2))
				if s.ColumnText(0) == "table" {
					tables = append(tables, s.ColumnText(1))
				}
				return nil
			})
			for _, table := range tables {
				if err != nil {
					return err
				}
				fmt.Fprintln(hash, table)
				err = c.Query(`SELECT * FROM "`+table+`"`, nil, func(s *sqlite.Stmt) error {
					for i := range s.ColumnCount() {
						fmt.Fprintf(hash, "%d %q ", s.ColumnType(i), s.ColumnRawText(i))
					}
					fmt.Fprintln(hash)
					return nil
				})
			}
			return err
		})
	})
	return hex.EncodeToString(hash.Sum(nil)[:8]), err
}

func (d *database) state(t testing.TB) string {
	t.Helper()
	s, err := d.digest()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// step makes one random change; size is about how many pages a large one has.
func step(r *rand.Rand, d *database, size int) error {
	table := fmt.Sprintf("t%d", r.IntN(4))
	switch n := r.IntN(100); {
	case n < 6:
		return d.exec("CREATE TABLE IF NOT EXISTS " + table + " (id INTEGER PRIMARY KEY, a, b)")
	case n < 9:
		return d.exec("DROP TABLE IF EXISTS " + table)
	case n < 12:
		return d.exec("CREATE INDEX IF NOT EXISTS i" + table + " ON " + table + "(a)")
	case n < 14:
		return d.exec("ALTER TABLE " + table + " ADD COLUMN c" + fmt.Sprint(r.IntN(1000)))
	case n < 50:
		return d.exec("INSERT INTO "+table+"(a, b) VALUES (?, randomblob(?))", r.IntN(1000), r.IntN(200))
	case n < 56: // large values, over many pages
		return d.exec("INSERT INTO "+table+"(a, b) VALUES (?, randomblob(?))", r.IntN(1000), r.IntN(size*4000))
	case n < 62:
		return d.exec("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < ?) INSERT INTO "+table+"(a, b) SELECT i, randomblob(50) FROM n", r.IntN(size*40))
	case n < 80:
		return d.exec("UPDATE "+table+" SET b = randomblob(100) WHERE id % 7 = ?", r.IntN(7))
	case n < 90:
		return d.exec("DELETE FROM "+table+" WHERE id % 5 = ?", r.IntN(5))
	case n < 92:
		return d.exec("VACUUM") // the file shrinks
	case n < 94: // a transaction that is rolled back after it grew out of the cache
		err := d.Write(context.Background(), func(c *sqlite.Conn) error {
			return c.Tx(func() error {
				if err := c.Exec("CREATE TABLE big AS WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 600) SELECT randomblob(4000) AS a FROM n"); err != nil {
					return err
				}
				return errors.New("no")
			})
		})
		if err.Error() != "no" {
			return err
		}
		return nil
	default: // several statements that touch the same pages
		return d.Write(context.Background(), func(c *sqlite.Conn) error {
			return c.Tx(func() error {
				for range 20 {
					if err := c.Exec("INSERT INTO "+table+"(a, b) VALUES (?, ?)", r.IntN(100), "x"); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

// TestModel changes a database at random, with checkpoints, restarts and
// readers that hold checkpoints up in between, and goes back to random
// bookmarks, some of which are restores themselves.
func TestModel(t *testing.T) {
	runs, steps := 4, 200
	if testing.Short() {
		runs, steps = 2, 150
	}
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			path := filepath.Join(t.TempDir(), "x.sqlite")
			o := history.Options{Frames: []int{1, 20, 300, 5000}[r.IntN(4)]}
			d, err := open(path, o)
			if err != nil {
				t.Fatal(err)
			}
			type known struct {
				mark  uint64
				state string
			}
			all := []known{{d.mark, d.state(t)}}
			var release func()
			for range steps {
				switch n := r.IntN(100); {
				case n < 2:
					if release != nil {
						release()
						release = nil
					}
					if err := d.Close(); err != nil {
						t.Fatal(err)
					}
					before := d.mark
					if d, err = open(path, o); err != nil {
						t.Fatal(err)
					}
					if d.mark != before {
						t.Fatalf("bookmark %x after a restart, %x before", d.mark, before)
					}
				case n < 5 && release == nil:
					release = hold(t, d)
				case n < 8 && release != nil:
					release()
					release = nil
				case n < 14:
					want := all[r.IntN(len(all))]
					target, previous, err := d.restore(want.mark)
					if err != nil || target != want.mark || previous != all[len(all)-1].mark {
						t.Fatalf("restoring %x from %x: target %x, previous %x, %v", want.mark, all[len(all)-1].mark, target, previous, err)
					}
					if got := d.state(t); got != want.state {
						t.Fatalf("restoring %x gave %s, want %s", want.mark, got, want.state)
					}
				default:
					if err := step(r, d, 60); err != nil && !strings.Contains(err.Error(), "no such table") {
						t.Fatal(err)
					}
				}
				if last := all[len(all)-1]; d.mark != last.mark {
					if d.mark < last.mark {
						t.Fatalf("bookmark %x after %x", d.mark, last.mark)
					}
					all = append(all, known{d.mark, d.state(t)})
				} else if got := d.state(t); got != last.state {
					t.Fatalf("the state changed from %s to %s without a new bookmark", last.state, got)
				}
			}
			if release != nil {
				release()
			}
			if err := d.Check(t.Context()); err != nil {
				t.Error(err)
			}
			for i, k := range all {
				if m, err := d.h.Find(k.mark); err != nil || m != k.mark {
					t.Errorf("bookmark %x is found as %x, %v", k.mark, m, err)
				}
				if i+1 < len(all) && all[i+1].mark > k.mark+1 {
					if m, err := d.h.Find(all[i+1].mark - 1); err != nil || m != k.mark {
						t.Errorf("just before %x, %x is found, want %x, %v", all[i+1].mark, m, k.mark, err)
					}
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// hold keeps a reader in its transaction until the function is called.
func hold(t *testing.T, d *database) (release func()) {
	began, end := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		err := d.Read(context.Background(), func(c *sqlite.Conn) error {
			return c.Tx(func() error {
				if err := c.Exec("SELECT count(*) FROM sqlite_master"); err != nil {
					return err
				}
				close(began)
				<-end
				return nil
			})
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-began
	return func() { close(end); group.Wait() }
}

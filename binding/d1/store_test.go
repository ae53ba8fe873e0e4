package d1_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding/d1"
)

func TestStore(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	store, err := d1.OpenStore(dir, d1.Options{})
	if err != nil {
		t.Fatal(err)
	}
	one, err := store.Create(ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	for _, as := range []struct{ id, name, want string }{
		{"11111111-2222-4333-8444-555555555555", "as", ""},
		{"11111111-2222-4333-8444-555555555555", "other", d1.ErrExists.Error()},
		{"22222222-2222-4333-8444-555555555555", "as", d1.ErrExists.Error()},
		{"../x", "other", "invalid database id"},
		{"x", "no name", "invalid database name"},
	} {
		info, err := store.CreateAs(ctx, as.id, as.name)
		if as.want == "" && (err != nil || info.ID != as.id || info.Name != as.name) || as.want != "" && (err == nil || !strings.Contains(err.Error(), as.want)) {
			t.Errorf("CreateAs %s %s: %v, %v; want %q", as.id, as.name, info, err, as.want)
		}
	}
	if err := store.Delete(ctx, "11111111-2222-4333-8444-555555555555"); err != nil {
		t.Error(err)
	}
	if _, err := store.Create(ctx, "one"); !errors.Is(err, d1.ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
	two, err := store.Create(ctx, "two")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Rename(ctx, two.ID, "one"); !errors.Is(err, d1.ErrExists) {
		t.Errorf("renaming to a taken name: %v", err)
	}
	if err := store.Rename(ctx, two.ID, "deux"); err != nil {
		t.Error(err)
	}
	if err := store.Rename(ctx, "nope", "x"); !errors.Is(err, d1.ErrNotFound) {
		t.Errorf("renaming an unknown database: %v", err)
	}
	db, err := store.Database(ctx, one.ID)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES(1)")
	before, _ := db.Bookmark()
	if err := store.Delete(ctx, two.ID); err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if _, err := db.Exec(ctx, "SELECT 1"); !errors.Is(err, d1.ErrNotFound) {
		t.Errorf("a call after Close: %v", err)
	}

	store, err = d1.OpenStore(dir, d1.Options{Now: func() time.Time { return time.Unix(0, 0) }}) // the clock was set back
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	list, err := store.List(ctx)
	if err != nil || len(list) != 1 || list[0] != one {
		t.Errorf("after a restart: %v %v, want %v", list, err, one)
	}
	if got, err := store.Get(ctx, "one"); err != nil || got != one {
		t.Errorf("by name: %v %v", got, err)
	}
	if db, err = store.Database(ctx, one.ID); err != nil {
		t.Fatal(err)
	}
	if rows := must(t, db, "SELECT a FROM t")[0].Rows; !reflect.DeepEqual(rows, [][]any{{int64(1)}}) {
		t.Errorf("rows after a restart: %v", rows)
	}
	if after, _ := db.Bookmark(); after != before {
		t.Errorf("bookmark %s after a restart, %s before", after, before)
	}
	must(t, db, "INSERT INTO t VALUES(2)")
	if after, _ := db.Bookmark(); after <= before {
		t.Errorf("bookmark %s after a write, %s before", after, before)
	}
	if err := store.Delete(ctx, one.ID); err != nil {
		t.Error(err)
	}
	if _, err := db.Exec(ctx, "SELECT 1"); !errors.Is(err, d1.ErrNotFound) {
		t.Errorf("a call after Delete: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.sqlite*")); len(left) != 0 {
		t.Errorf("deleted databases left %v", left)
	}
}

// TestManyDatabases: only MaxOpen files stay open, calls on all of them work.
func TestManyDatabases(t *testing.T) {
	store := openStore(t, d1.Options{MaxOpen: 4})
	var list []*d1.Database
	for i := range 40 {
		db, err := store.Ensure(t.Context(), fmt.Sprint("db", i))
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, "CREATE TABLE t(a)")
		list = append(list, db)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 100 {
				if _, err := list[(i*7+w)%len(list)].Prepare("INSERT INTO t VALUES(?)").Bind(i).Run(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	// Up to one more for each call that found every other one in use.
	if n := openFiles(t, ".sqlite"); n > (4+4)*3 {
		t.Errorf("%d database files are open", n)
	}
}

// TestTwoStores: a command line tool works beside the server on one directory.
func TestTwoStores(t *testing.T) {
	dir := t.TempDir()
	var stores []*d1.Store
	for range 2 {
		s, err := d1.OpenStore(dir, d1.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		stores = append(stores, s)
	}
	info, err := stores[0].Create(t.Context(), "shared")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, s := range stores {
		db, err := s.Database(t.Context(), info.ID)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, "CREATE TABLE IF NOT EXISTS t(a)")
		wg.Go(func() {
			for n := range 100 {
				if _, err := db.Batch(t.Context(), db.Prepare("INSERT INTO t VALUES(?)").Bind(n), db.Prepare("INSERT INTO t VALUES(?)").Bind(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	db, _ := stores[1].Database(t.Context(), info.ID)
	if rows := must(t, db, "SELECT count(*) FROM t")[0].Rows; rows[0][0] != int64(400) {
		t.Errorf("%v rows, want 400", rows)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// openFiles counts this process's open files whose name ends in suffix.
func openFiles(t *testing.T, suffix string) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // not Linux
	}
	n := 0
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && filepath.Ext(target) == suffix {
			n++
		}
	}
	return n
}

// TestStatement shows the Go API.
func TestStatement(t *testing.T) {
	ctx := t.Context()
	db := openDatabase(t, d1.Options{})
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
	insert := db.Prepare("INSERT INTO t(v) VALUES(?)")
	meta, err := insert.Bind("x").Run(ctx)
	if err != nil || meta.Changes != 1 || meta.LastRowID != 1 || !meta.ChangedDB || meta.SizeAfter == 0 {
		t.Errorf("meta %+v %v", meta, err)
	}
	for _, v := range []any{nil, true, 7, int64(1) << 62, 1.5, []byte{1, 0}, []byte{}} {
		if _, err := insert.Bind(v).Run(ctx); err != nil {
			t.Error(err)
		}
	}
	rows, err := db.Prepare("SELECT v FROM t ORDER BY id").Raw(ctx)
	want := [][]any{{"x"}, {nil}, {int64(1)}, {int64(7)}, {int64(1) << 62}, {1.5}, {[]byte{1, 0}}, {[]byte{}}}
	if err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("rows %v %v, want %v", rows, err, want)
	}
	first, err := db.Prepare("SELECT id, v FROM t WHERE id = ?").Bind(1).First(ctx)
	if err != nil || !reflect.DeepEqual(first, map[string]any{"id": int64(1), "v": "x"}) {
		t.Errorf("first %v %v", first, err)
	}
	if _, err := db.Prepare("SELECT 1 WHERE 0").First(ctx); !errors.Is(err, d1.ErrNoRows) {
		t.Errorf("no row: %v", err)
	}
	var e *d1.Error
	_, err = db.Batch(ctx, insert.Bind(1), db.Prepare("INSERT INTO nope VALUES(1)"))
	if !errors.As(err, &e) || e.Query != 1 {
		t.Errorf("batch error %#v, want query 1", err)
	}
	if _, err := db.Prepare("SELECT ?").Bind(struct{}{}).All(ctx); err == nil {
		t.Error("a parameter of an unsupported type was accepted")
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := insert.Bind(1).Run(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	session := db.WithSession("")
	a, _ := session.Bookmark()
	must(t, db, "DELETE FROM t")
	if b, _ := session.Bookmark(); b <= a {
		t.Errorf("bookmark %s after a write, %s before", b, a)
	}
	if got, _ := db.WithSession("zzz").Bookmark(); got != "zzz" {
		t.Errorf("a session went back from its bookmark to %s", got)
	}
}

// TestBatches runs random batches, some of which fail, from several
// goroutines, and compares the table with what the batches that succeeded
// must have left: the sum over all rows never changes.
func TestBatches(t *testing.T) {
	db := openDatabase(t, d1.Options{})
	const accounts = 20
	must(t, db, "CREATE TABLE account(id INTEGER PRIMARY KEY, amount INTEGER CHECK(amount >= 0)); CREATE TABLE log(n UNIQUE)")
	for i := range accounts {
		must(t, db, fmt.Sprintf("INSERT INTO account VALUES(%d, 100)", i))
	}
	var mu sync.Mutex
	var done []int64
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(worker)))
			for i := range 150 {
				n, amount := int64(worker*1000+i), random.IntN(60)
				_, err := db.Batch(t.Context(),
					db.Prepare("INSERT INTO log VALUES(?)").Bind(n),
					db.Prepare("UPDATE account SET amount = amount + ? WHERE id = ?").Bind(amount, random.IntN(accounts)),
					db.Prepare("UPDATE account SET amount = amount - ? WHERE id = ?").Bind(amount, random.IntN(accounts)))
				if err == nil {
					mu.Lock()
					done = append(done, n)
					mu.Unlock()
				}
				if rows, err := db.Prepare("SELECT sum(amount) FROM account").Raw(t.Context()); err != nil || rows[0][0] != int64(100*accounts) {
					t.Errorf("sum is %v %v", rows, err)
				}
			}
		})
	}
	wg.Wait()
	rows, err := db.Prepare("SELECT n FROM log ORDER BY n").Raw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var logged []int64
	for _, r := range rows {
		logged = append(logged, r[0].(int64))
	}
	slices.Sort(done)
	if !slices.Equal(logged, done) {
		t.Errorf("%d batches are in the log, %d succeeded", len(logged), len(done))
	}
	if len(done) == 0 || len(done) == 600 {
		t.Errorf("%d of 600 batches succeeded: the test tests nothing", len(done))
	}
}

// TestWhole: a statement that fails half-way leaves nothing.
func TestWhole(t *testing.T) {
	db := openDatabase(t, d1.Options{})
	must(t, db, `CREATE TABLE t(a UNIQUE ON CONFLICT FAIL);
		CREATE TABLE u(a); CREATE TRIGGER g BEFORE INSERT ON u WHEN new.a = 3 BEGIN SELECT RAISE(FAIL, 'three'); END`)
	for _, sql := range []string{"INSERT OR FAIL INTO t VALUES(1),(2),(1)", "INSERT INTO t VALUES(1),(2),(1)", "INSERT INTO u VALUES(1),(2),(3)"} {
		if _, err := db.Prepare(sql).Run(t.Context()); err == nil {
			t.Errorf("%s succeeded", sql)
		}
	}
	if rows := must(t, db, "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)")[0].Rows; rows[0][0] != int64(0) || rows[0][1] != int64(0) {
		t.Errorf("%v rows are left", rows[0])
	}
}

func TestMigrations(t *testing.T) {
	ctx := t.Context()
	db := openDatabase(t, d1.Options{})
	m := d1.Migrations{Dir: filepath.Join(t.TempDir(), "migrations")}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	path, err := m.Create("add users table", now)
	if err != nil || filepath.Base(path) != "0001_add_users_table.sql" {
		t.Fatal(path, err)
	}
	if text, _ := os.ReadFile(path); string(text) != "-- Migration number: 0001 \t 2026-11-20T12:00:00.000Z\n" {
		t.Errorf("new migration holds %q", text)
	}
	write := func(name, sql string) {
		if err := os.WriteFile(filepath.Join(m.Dir, name), []byte(sql), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("0001_add_users_table.sql", "BEGIN TRANSACTION;\nCREATE TABLE users(id);\nCOMMIT;\n")
	write("0002_fill.sql", "INSERT INTO users VALUES(1); INSERT INTO nope VALUES(1);")
	write("0010_later.sql", "INSERT INTO users VALUES(10);")
	write("notes.txt", "not a migration")
	applied, err := m.Apply(ctx, db)
	var e *d1.Error
	if !errors.As(err, &e) || !slices.Equal(applied, []string{"0001_add_users_table.sql"}) {
		t.Fatalf("applied %v, error %v; want the first one and the error of the second", applied, err)
	}
	if rows := must(t, db, "SELECT count(*) FROM users")[0].Rows; rows[0][0] != int64(0) {
		t.Errorf("the migration that failed left %v rows", rows[0][0])
	}
	if left, err := m.Unapplied(ctx, db); err != nil || !slices.Equal(left, []string{"0002_fill.sql", "0010_later.sql"}) {
		t.Errorf("unapplied: %v %v", left, err)
	}
	write("0002_fill.sql", "INSERT INTO users VALUES(1)")
	if _, err := m.Apply(ctx, db); err != nil {
		t.Fatal(err)
	}
	list, err := m.Applied(ctx, db)
	if err != nil || len(list) != 3 || list[2].Name != "0010_later.sql" || list[2].ID != 3 || list[2].At == "" {
		t.Errorf("applied: %+v %v", list, err)
	}
	if path, _ := m.Create("x", now); filepath.Base(path) != "0011_x.sql" {
		t.Errorf("next migration is %s", path)
	}
	if applied, err := m.Apply(ctx, db); err != nil || len(applied) != 1 && len(applied) != 0 {
		t.Errorf("applying an empty migration: %v %v", applied, err)
	}
}

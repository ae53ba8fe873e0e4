package d1

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func openSQL(t testing.TB, o Options) (*sql.DB, *Database) {
	t.Helper()
	s, err := OpenStore(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	d, err := s.Ensure(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	db := OpenDB(d)
	t.Cleanup(func() { db.Close() })
	if _, err := db.Exec("CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT, score REAL, data BLOB, ok BOOLEAN, created TIMESTAMP)"); err != nil {
		t.Fatal(err)
	}
	return db, d
}

func TestDriverValues(t *testing.T) {
	db, _ := openSQL(t, Options{})
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("", 3600))
	res, err := db.Exec("INSERT INTO user (name, score, data, ok, created) VALUES (?, ?, ?, ?, ?)", "ü", 1.5, []byte{0, 1}, true, at)
	if err != nil {
		t.Fatal(err)
	}
	if id, _ := res.LastInsertId(); id != 1 {
		t.Errorf("id %d", id)
	}
	if n, _ := res.RowsAffected(); n != 1 {
		t.Errorf("rows %d", n)
	}
	var (
		name    string
		score   float64
		data    []byte
		ok      bool
		created time.Time
		missing sql.NullString
	)
	err = db.QueryRow("SELECT name, score, data, ok, created, NULL FROM user").Scan(&name, &score, &data, &ok, &created, &missing)
	if err != nil || name != "ü" || score != 1.5 || string(data) != "\x00\x01" || !ok || !created.Equal(at) || missing.Valid {
		t.Errorf("%q %v %v %v %v %v %v", name, score, data, ok, created, missing, err)
	}
	if err := db.QueryRow("SELECT name FROM user WHERE id = 2").Scan(&name); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("no rows: %v", err)
	}
	// What SQLite's own functions write can be read as a time, too.
	if _, err := db.Exec("UPDATE user SET created = datetime('2026-01-02 03:04:05')"); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow("SELECT created FROM user").Scan(&created); err != nil || created.Second() != 5 {
		t.Errorf("datetime(): %v %v", created, err)
	}
}

func TestDriverPlaceholders(t *testing.T) {
	db, _ := openSQL(t, Options{})
	for _, test := range []struct {
		text string
		args []any
		want string
	}{
		{"SELECT ? || ?", []any{"a", "b"}, "ab"},
		{"SELECT ?2 || ?1 || ?2", []any{"a", "b"}, "bab"},
		{"SELECT :x || @y || $z || :x", []any{sql.Named("z", "3"), sql.Named("x", "1"), sql.Named("y", "2")}, "1231"},
		{"SELECT ?1 || :x", []any{"a", sql.Named("x", "b")}, "ab"},
		{"SELECT ? || ?", []any{"a"}, "error: Wrong number of parameter bindings"},
		{"SELECT :x", []any{sql.Named("y", "1")}, `error: no parameter named "y"`},
		{"SELECT :x || :y", []any{sql.Named("x", "1")}, "error: Wrong number of parameter bindings"},
		{"SELECT * FROM nobody", nil, "error: no such table: nobody"},
	} {
		var got string
		if err := db.QueryRow(test.text, test.args...).Scan(&got); err != nil {
			got = "error: " + err.Error()
		}
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %s, want %s", test.text, got, test.want)
		}
	}
	stmt, err := db.Prepare("SELECT ? + 1")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for i := range 3 {
		var n int
		if err := stmt.QueryRow(i).Scan(&n); err != nil || n != i+1 {
			t.Errorf("%d %v", n, err)
		}
	}
}

func count(t *testing.T, db interface {
	QueryRow(string, ...any) *sql.Row
}) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT count(*) FROM user").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A transaction sees itself, others see the state before, and it ends as told.
func TestTransaction(t *testing.T) {
	db, d := openSQL(t, Options{})
	before, _ := d.Bookmark()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := tx.Exec("INSERT INTO user (name) VALUES ('a')"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec("INSERT INTO user (id) VALUES (1)"); err == nil {
		t.Error("a key was taken twice")
	}
	if _, err := tx.Exec("COMMIT"); err == nil {
		t.Error("SQL ended the transaction")
	}
	if in, out := count(t, tx), count(t, db); in != 3 || out != 0 {
		t.Errorf("inside %d, outside %d", in, out)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 3 {
		t.Errorf("committed %d", n)
	}
	if after, _ := d.Bookmark(); after <= before {
		t.Errorf("bookmark %s after %s", after, before)
	}
	if tx, err = db.Begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("DELETE FROM user"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 3 {
		t.Errorf("rolled back %d", n)
	}
	if _, err := tx.Exec("SELECT 1"); !errors.Is(err, sql.ErrTxDone) {
		t.Errorf("after the end: %v", err)
	}

	only, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO user (name) VALUES ('b')"); err != nil {
		t.Errorf("a reader held up a writer: %v", err)
	}
	if _, err := only.Exec("DELETE FROM user"); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("a reader wrote: %v", err)
	}
	if err := only.Rollback(); err != nil {
		t.Error(err)
	}
}

// Nobody can hold the writer: the context and the clock end a transaction.
func TestTransactionBounds(t *testing.T) {
	db, d := openSQL(t, Options{MaxQueryTime: 50 * time.Millisecond})
	tx, err := d.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Query(t.Context(), "INSERT INTO user (name) VALUES ('a')"); err != nil {
		t.Fatal(err)
	}
	<-tx.done
	if _, err := tx.Query(t.Context(), "SELECT 1"); !errors.Is(err, ErrTxTimeout) {
		t.Errorf("after the time: %v", err)
	}
	if err := tx.Commit(); !errors.Is(err, ErrTxTimeout) {
		t.Errorf("commit after the time: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if tx, err = d.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Query(ctx, "INSERT INTO user (name) VALUES ('a')"); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-tx.done
	if err := tx.Commit(); !errors.Is(err, context.Canceled) {
		t.Errorf("commit after cancel: %v", err)
	}
	if n := count(t, db); n != 0 {
		t.Errorf("%d rows stayed", n)
	}
}

// Read-modify-write in transactions loses no update.
func TestTransactionsTakeTurns(t *testing.T) {
	db, _ := openSQL(t, Options{})
	db.Exec("INSERT INTO user (id, score) VALUES (1, 0)")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				tx, err := db.Begin()
				if err != nil {
					t.Error(err)
					return
				}
				var score float64
				err = tx.QueryRow("SELECT score FROM user WHERE id = 1").Scan(&score)
				if err == nil {
					_, err = tx.Exec("UPDATE user SET score = ? WHERE id = 1", score+1)
				}
				if err == nil {
					err = tx.Commit()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	var score float64
	if db.QueryRow("SELECT score FROM user WHERE id = 1").Scan(&score); score != 80 {
		t.Errorf("score %v", score)
	}
}

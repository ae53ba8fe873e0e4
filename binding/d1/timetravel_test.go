package d1_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding/d1"
)

// TestAPITimeTravel goes the way of `wrangler d1 time-travel`.
func TestAPITimeTravel(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	c := newAPI(t, openStore(t, d1.Options{Now: func() time.Time { return now }}))
	c.must("POST", "", object{"name": "x"}, nil)
	run := func(sql string) {
		t.Helper()
		now = now.Add(time.Hour)
		c.must("POST", "/x/query", object{"sql": sql}, nil)
	}
	type answer struct {
		Bookmark string
		Previous string `json:"previous_bookmark"`
		Message  string
	}
	bookmark := func(query string) string {
		t.Helper()
		var a answer
		c.must("GET", "/x/time_travel/bookmark"+query, nil, &a)
		return a.Bookmark
	}
	restore := func(query string) (a answer) {
		t.Helper()
		now = now.Add(time.Hour)
		c.must("POST", "/x/time_travel/restore?"+query, nil, &a)
		if a.Bookmark != bookmark("") {
			t.Errorf("the answer says %s, the bookmark is %s", a.Bookmark, bookmark(""))
		}
		return a
	}
	rows := func() string {
		t.Helper()
		var list []struct{ Results []object }
		c.must("POST", "/x/query", object{"sql": "SELECT group_concat(a, ' ') AS a FROM (SELECT a FROM t ORDER BY a)"}, &list)
		text, _ := list[0].Results[0]["a"].(string)
		return text
	}
	want := func(w string) {
		t.Helper()
		if got := rows(); got != w {
			t.Errorf("rows %q, want %q", got, w)
		}
	}

	run("CREATE TABLE t(a); CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES('text')")
	run("INSERT INTO t VALUES('one')")
	one, then := bookmark(""), now
	if again := bookmark(""); again != one {
		t.Errorf("bookmark %s without a write, %s before", again, one)
	}
	run("INSERT INTO t VALUES('two')")
	two := bookmark("")
	run("DROP TABLE t")
	dropped := bookmark("")

	if a := restore("bookmark=" + two); a.Previous != dropped || a.Bookmark <= dropped || !strings.Contains(a.Message, two) {
		t.Errorf("restore: %+v", a)
	}
	want("one two")
	for _, at := range []time.Time{then, then.Add(59 * time.Minute)} {
		if got := bookmark("?timestamp=" + url.QueryEscape(at.In(time.FixedZone("", 3600)).Format(time.RFC3339Nano))); got != one {
			t.Errorf("at %s: %s, want %s", at, got, one)
		}
	}
	a := restore("timestamp=" + then.Add(time.Minute).Format(time.RFC3339))
	want("one")
	b := restore("bookmark=" + a.Previous) // undone
	want("one two")
	if c := restore("bookmark=" + b.Bookmark); c.Bookmark != b.Bookmark || !strings.Contains(c.Message, "nothing was changed") {
		t.Errorf("restoring the present: %+v", c)
	}
	run("INSERT INTO t VALUES('three')")
	want("one three two")
	if status, _, err := c.do("POST", "/x/time_travel/restore?bookmark="+one+"&timestamp=2030-01-01T00:00:00Z", nil); status != 400 {
		t.Errorf("a bookmark and a time: %d %v", status, err)
	}
}

// TestHistoryEnds: a history ends with its database, and what is left of one
// does not become that of another.
func TestHistoryEnds(t *testing.T) {
	dir := t.TempDir()
	s, err := d1.OpenStore(dir, d1.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db, err := s.Ensure(t.Context(), databaseID)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CREATE TABLE t(a)")
	if left, _ := filepath.Glob(filepath.Join(dir, "*.history")); len(left) != 1 {
		t.Errorf("histories: %v, want one", left)
	}
	if err := s.Delete(t.Context(), databaseID); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, databaseID+"*"))
	if len(left) != 0 {
		t.Errorf("after the deletion there are %v", left)
	}
	old := filepath.Join(dir, databaseID+".history")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "00000001.segment"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if db, err = s.Ensure(t.Context(), databaseID); err != nil {
		t.Fatal(err)
	}
	must(t, db, "CREATE TABLE t(a)")
	before, _ := db.Bookmark()
	must(t, db, "DROP TABLE t")
	if _, err := db.Restore(t.Context(), before); err != nil {
		t.Error(err)
	}
	must(t, db, "SELECT * FROM t")
}

// TestRestoreWaits: a restore waits for the transaction that is open and
// undoes it too.
func TestRestoreWaits(t *testing.T) {
	db := openDatabase(t, d1.Options{})
	must(t, db, "CREATE TABLE t(a)")
	before, _ := db.Bookmark()
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Query(t.Context(), "INSERT INTO t VALUES(1)"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	var r *d1.Restored
	go func() {
		var err error
		r, err = db.Restore(t.Context(), before)
		done <- err
	}()
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r.Target != before {
		t.Errorf("restored %s, want %s", r.Target, before)
	}
}

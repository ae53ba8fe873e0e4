package d1_test

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding/d1"
)

// TestHostile runs what a tenant may not do, each on a fresh database: it is
// refused, quickly, and the database works afterwards.
func TestHostile(t *testing.T) {
	const forever = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) "
	tests := []struct{ name, sql, want string }{
		{"attach", "ATTACH DATABASE '/tmp/x.db' AS x", "not authorized"},
		{"attach expression", "ATTACH DATABASE ('/tmp/'||'x') AS x", "not authorized"},
		{"detach", "DETACH main", "not authorized"},
		{"vacuum into", "VACUUM INTO '/tmp/x.db'", "cannot VACUUM"},
		{"vacuum after a comment", "/* ; */ -- x\n VACUUM main INTO '/tmp/x.db'", "cannot VACUUM"},
		{"load_extension", "SELECT load_extension('/lib/x.so')", "no such function"},
		{"writable_schema", "PRAGMA writable_schema = ON", "not authorized"},
		{"journal_mode", "PRAGMA journal_mode = DELETE", "not authorized"},
		{"locking_mode", "PRAGMA main.locking_mode = EXCLUSIVE", "not authorized"},
		{"query_only", "PRAGMA query_only = 0", "not authorized"},
		{"synchronous", "PRAGMA synchronous = OFF", "not authorized"},
		{"hard_heap_limit", "PRAGMA hard_heap_limit = 0", "not authorized"},
		{"max_page_count", "PRAGMA max_page_count = 4294967294", "not authorized"},
		{"temp_store_directory", "PRAGMA temp_store_directory = '/'", "not authorized"},
		{"wal_checkpoint", "PRAGMA wal_checkpoint(TRUNCATE)", "not authorized"},
		{"pragma function", "SELECT * FROM pragma_database_list", "not authorized"},
		{"explain pragma", "EXPLAIN PRAGMA journal_mode = DELETE", "not authorized"},
		{"schema", "UPDATE sqlite_schema SET sql = 'x'", "may not be modified"},
		{"shadow table", "CREATE VIRTUAL TABLE f USING fts5(a); DELETE FROM f_data", "may not be modified"},
		{"begin", "BEGIN IMMEDIATE", "To execute a transaction"},
		{"begin in a text", "SELECT 1; BEGIN; SELECT 2", "To execute a transaction"},
		{"release", "RELEASE x", "To execute a transaction"},
		{"temporary table", "CREATE TEMP TABLE x(a)", "not authorized"},
		{"temporary trigger", "CREATE TABLE t(a); CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", "not authorized"},
		{"module", "CREATE VIRTUAL TABLE x USING fsdir('/')", "not authorized"},
		{"file function", "SELECT writefile('/tmp/x', 'x')", "no such function"},
		{"reserved name", "CREATE TABLE _CF_x(a)", "not authorized"},
		{"reserved name read", "SELECT * FROM sqlite_temp_master, _cf_x", "no such table"},
		{"endless recursion", forever + "SELECT count(*) FROM n", "exceeded its CPU time limit"},
		{"endless insert", "CREATE TABLE t(a); " + forever + "INSERT INTO t SELECT i FROM n", "exceeded its CPU time limit"},
		{"endless join", "CREATE TABLE t(a); INSERT INTO t SELECT value FROM json_each('[" + strings.Repeat("1,", 2000) + "1]'); SELECT count(*) FROM t a, t b, t c WHERE a.a+b.a+c.a=4", "exceeded its CPU time limit"},
		{"memory", "SELECT group_concat(zeroblob(1900000)) FROM json_each('[1,2,3,4]')", "too big"},
		{"value", "SELECT length(zeroblob(2000001))", "too big"},
		{"printf", "SELECT printf('%.*c', 100000000, 'x')", "too big"},
		{"depth", "SELECT " + strings.Repeat("(", 500) + "1" + strings.Repeat(")", 500), ""},
		{"deep expression", "SELECT 1" + strings.Repeat("+1", 200), "too large"},
		{"parser", "SELECT " + strings.Repeat("-", 50000) + "1", "incomplete input"},
		{"NUL", "\x00SELECT 1", "No SQL"},
		{"long", "SELECT '" + strings.Repeat("x", d1.MaxStatement) + "'", "statement too long"},
		{"trigger recursion", "CREATE TABLE t(a); PRAGMA recursive_triggers=1; CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO t VALUES(1); END; INSERT INTO t VALUES(1)", "too many levels of trigger recursion"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o d1.Options
			if strings.HasPrefix(tt.name, "endless") {
				o.MaxQueryTime = 300 * time.Millisecond
			}
			store := openStore(t, o)
			db, err := store.Ensure(t.Context(), "hostile")
			if err != nil {
				t.Fatal(err)
			}
			_, err = db.Exec(t.Context(), tt.sql)
			var e *d1.Error
			if tt.want != "" && (!errors.As(err, &e) || !strings.Contains(e.Message, tt.want)) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			for range 2 {
				rows, err := db.Prepare("SELECT count(*) FROM sqlite_schema").Raw(t.Context())
				if err != nil || rows[0][0] != int64(0) && tt.want != "" {
					t.Errorf("afterwards: %v %v, want an empty database", rows, err)
				}
				if _, err := db.Exec(t.Context(), "CREATE TABLE after_all(a); DROP TABLE after_all"); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			}
			if left, _ := filepath.Glob("/tmp/x.db*"); len(left) > 0 {
				t.Error("left behind:", left)
			}
		})
	}
}

// TestSettingsEndWithTheCall: what a pragma sets does not reach later calls.
func TestSettingsEndWithTheCall(t *testing.T) {
	db := openDatabase(t, d1.Options{})
	ctx := t.Context()
	for sql, want := range map[string]any{
		"PRAGMA case_sensitive_like=1; SELECT 'a' LIKE 'A'":      int64(0),
		"SELECT 'a' LIKE 'A'":                                    int64(1),
		"PRAGMA recursive_triggers=1; PRAGMA recursive_triggers": int64(1),
		"PRAGMA recursive_triggers":                              int64(0),
	} {
		for range 2 {
			results, err := db.Exec(ctx, sql)
			if err != nil {
				t.Fatal(err)
			}
			if got := results[len(results)-1].Rows[0][0]; got != want {
				t.Errorf("%s gives %v, want %v", sql, got, want)
			}
		}
	}
	must(t, db, "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id REFERENCES p(id))")
	must(t, db, "PRAGMA defer_foreign_keys=on; INSERT INTO c VALUES(1); INSERT INTO p VALUES(1)")
	_, err := db.Exec(ctx, "INSERT INTO c VALUES(2); INSERT INTO p VALUES(2)")
	if err == nil || !strings.Contains(err.Error(), "FOREIGN KEY constraint failed") {
		t.Errorf("foreign keys after a deferred call: %v", err)
	}
	_, err = db.Exec(ctx, "PRAGMA defer_foreign_keys=on; INSERT INTO c VALUES(2)")
	if err == nil || !strings.Contains(err.Error(), "FOREIGN KEY constraint failed") {
		t.Errorf("commit with a broken foreign key: %v", err)
	}
}

// TestMaxResult: a result that grows beyond the limit ends the call.
func TestMaxResult(t *testing.T) {
	db := openDatabase(t, d1.Options{})
	_, err := db.Exec(t.Context(), "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) SELECT zeroblob(2000000) FROM n")
	if err == nil || !strings.Contains(err.Error(), "exceeded its memory limit") {
		t.Errorf("got %v", err)
	}
	must(t, db, "SELECT 1")
}

func TestMaxSize(t *testing.T) {
	db := openDatabase(t, d1.Options{MaxSize: 1 << 20})
	must(t, db, "CREATE TABLE t(a)")
	_, err := db.Exec(t.Context(), "INSERT INTO t SELECT randomblob(1000) FROM json_each('["+strings.Repeat("1,", 3000)+"1]')")
	if err == nil || err.Error() != "Exceeded maximum DB size." {
		t.Errorf("got %v", err)
	}
	must(t, db, "INSERT INTO t VALUES(1)")
}

func TestStaysInItsFile(t *testing.T) {
	dir := t.TempDir()
	store, err := d1.OpenStore(filepath.Join(dir, "d1"), d1.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, id := range []string{"../../escape", "a/b", "..", "x?mode=memory", "%2e%2e", "nul\x00"} {
		db, err := store.Ensure(t.Context(), id)
		if err != nil {
			t.Fatal(id, err)
		}
		must(t, db, "CREATE TABLE t(a)")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the parent directory holds %v %v", entries, err)
	}
}

func openDatabase(t testing.TB, o d1.Options) *d1.Database {
	t.Helper()
	db, err := openStore(t, o).Ensure(t.Context(), databaseID)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func must(t testing.TB, db *d1.Database, sql string) []*d1.Result {
	t.Helper()
	r, err := db.Exec(t.Context(), sql)
	if err != nil {
		t.Fatalf("%.80s: %v", sql, err)
	}
	return r
}

// What is wrong with a file is for the log: a Worker, whose client may see its
// errors, is not told where the server keeps it.
func TestErrorsDoNotNameFiles(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"not a database": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("garbage "), 1000), 0o600) },
		"a folder":       func(path string) error { return os.Mkdir(path, 0o700) },
		"a dead link":    func(path string) error { return os.Symlink(filepath.Join(path, "nowhere"), path) },
	} {
		dir := t.TempDir()
		store, err := d1.OpenStore(dir, d1.Options{})
		if err != nil {
			t.Fatal(err)
		}
		db, err := store.Ensure(t.Context(), databaseID)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, "CREATE TABLE t(a)")
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.sqlite*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		if err := damage(files[0]); err != nil {
			t.Fatal(err)
		}
		if store, err = d1.OpenStore(dir, d1.Options{}); err != nil {
			t.Fatal(err)
		}
		if db, err = store.Ensure(t.Context(), databaseID); err == nil {
			w := httptest.NewRecorder()
			d1.Service(db, "").ServeHTTP(w, httptest.NewRequest("POST", "/query", strings.NewReader(`{"sql":"SELECT 1 FROM t"}`)))
			if text := w.Body.String(); !strings.Contains(text, `"success":false`) || strings.Contains(text, "/") || strings.Contains(text, ".sqlite") {
				t.Errorf("%s: %s", name, text)
			}
		} else {
			t.Errorf("%s: %v", name, err)
		}
		store.Close()
	}
}

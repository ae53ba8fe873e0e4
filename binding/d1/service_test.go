package d1_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/poll"
)

// TestService pins the answers to workerd's requests, and to requests that
// workerd would not send.
func TestService(t *testing.T) {
	handler := d1.Service(openDatabase(t, d1.Options{}), "")
	tests := []struct{ name, path, body, want string }{
		{"create", "/execute?resultsFormat=NONE", `{"sql":"CREATE TABLE t(a)","params":[]}`, `"results":[]`},
		{"run", "/execute?resultsFormat=NONE", `{"sql":"INSERT INTO t VALUES(?) RETURNING a","params":["x"]}`, `"results":[{"a":"x"}]`},
		{"all", "/query?resultsFormat=ROWS_AND_COLUMNS", `{"sql":"SELECT a, ?1 AS b FROM t","params":[[1,2]]}`, `"results":{"columns":["a","b"],"rows":[["x",[1,2]]]}`},
		{"no rows", "/query?resultsFormat=ROWS_AND_COLUMNS", `{"sql":"SELECT a FROM t WHERE 0"}`, `"results":{"columns":["a"],"rows":[]}`},
		{"quotes", "/query?resultsFormat=NONE", `{"sql":"SELECT 'a\"\\\n\u0001' AS \"k\"\"\""}`, `"results":[{"k\"":"a\"\\\n\u0001"}]`},
		{"exec error", "/execute?resultsFormat=NONE", `[{"sql":"SELECT 1"},{"sql":"x"}]`, `[{"success":true,"results":[],"meta":{"duration":0}},{"success":false,"error":"near \"x\": syntax error at offset 0: SQLITE_ERROR"}]`},
		{"batch error", "/query?resultsFormat=ROWS_AND_COLUMNS", `[{"sql":"SELECT 1"},{"sql":"x"}]`, `{"success":false,"error":"near \"x\": syntax error at offset 0: SQLITE_ERROR"}`},
		{"not JSON", "/query", `x`, `{"success":false,"error":"Invalid request: `},
		{"empty", "/query", ``, `{"success":false,"error":"Invalid request: `},
		{"null", "/query", `null`, `{"success":false,"error":"No SQL statements detected."}`},
		{"huge number", "/query", `{"sql":"SELECT ?","params":[1e999]}`, `out of range`},
		{"not a byte", "/query", `{"sql":"SELECT ?","params":[[256]]}`, `not a byte`},
		{"not bytes", "/query", `{"sql":"SELECT ?","params":[["a"]]}`, `other than bytes`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest("POST", tt.path, strings.NewReader(tt.body)))
			if w.Code != 200 || !strings.Contains(w.Body.String(), tt.want) || !json.Valid(w.Body.Bytes()) {
				t.Errorf("got %d %s, want %s", w.Code, w.Body, tt.want)
			}
		})
	}
}

// FuzzService: whatever comes in, JSON comes out and the database works.
func FuzzService(f *testing.F) {
	for _, body := range []string{
		`{"sql":"SELECT ?","params":[1]}`, `[{"sql":"SELECT 1"},{"sql":"SELECT '\ud800'"}]`, `{"sql":"PRAGMA table_info(x)"}`,
		`{"sql":"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) SELECT * FROM n"}`, `{"sql":"\u0000"}`, `[{}]`, `{"params":[[1,2,300]]}`,
	} {
		f.Add([]byte(body), true)
	}
	db := openDatabase(f, d1.Options{MaxQueryTime: 20 * time.Millisecond, MaxSize: 1 << 20})
	handler := d1.Service(db, "")
	f.Fuzz(func(t *testing.T, body []byte, query bool) {
		path := "/execute?resultsFormat=NONE"
		if query {
			path = "/query?resultsFormat=ROWS_AND_COLUMNS"
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(string(body))))
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q is answered by %q", body, w.Body)
		}
		var err error
		works := poll.Within(poll.Patience, func() bool { // a busy machine takes the little time
			_, err = db.Exec(t.Context(), "SELECT 1")
			return err == nil
		})
		if !works {
			t.Fatalf("after %q: %v", body, err)
		}
	})
}

func TestBinding(t *testing.T) {
	store := openStore(t, d1.Options{})
	info, err := store.Create(t.Context(), "there")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, id string
		create   bool
		flags    []string
		want     string // in the error; empty for none
	}{
		{"exists", info.ID, false, nil, ""},
		{"unknown", "nope", false, nil, "there is no database with id nope; create one with `wrangler d1 create`, or this one with `selvage provision`"},
		{"on demand", "nope", true, nil, ""},
		{"no id", "", true, nil, "id is missing"},
		{"RPC flag", info.ID, false, []string{"d1_binding_jsrpc"}, "d1_binding_jsrpc is not supported"},
	}
	for _, tt := range tests {
		b, err := config.NewBinding("DB", "d1", map[string]string{"id": tt.id})
		if err != nil {
			t.Fatal(err)
		}
		m, err := mount(t, store, tt.create, b, binding.Site{Version: &config.Version{CompatibilityFlags: tt.flags}, Service: "s"})
		if tt.want == "" && (err != nil || m.Handler == nil) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// BenchmarkService measures the handler alone, through a socket.
func BenchmarkService(b *testing.B) {
	db := openDatabase(b, d1.Options{})
	must(b, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, age INTEGER)")
	must(b, db, "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<1000) INSERT INTO t SELECT i, 'name'||i, i FROM n")
	server := httptest.NewServer(d1.Service(db, ""))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	for name, body := range map[string]string{
		"read":   `{"sql":"SELECT * FROM t WHERE id = ?","params":[7]}`,
		"insert": `{"sql":"INSERT INTO t(name, age) VALUES(?, ?)","params":["x", 5]}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					res, err := client.Post(server.URL+"/query?resultsFormat=ROWS_AND_COLUMNS", "application/json", strings.NewReader(body))
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			})
		})
	}
}

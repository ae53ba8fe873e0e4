package d1_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding/d1"
)

// apiClient speaks to the routes of a store as they are mounted in a server.
type apiClient struct {
	t    *testing.T
	base string // ends in /client/v4
}

func newAPI(t *testing.T, s *d1.Store) *apiClient {
	mux := http.NewServeMux()
	for _, route := range s.Routes() {
		mux.HandleFunc(route.Method+" /client/v4"+route.Path, func(w http.ResponseWriter, r *http.Request) {
			if err := route.Handle(w, r); err != nil {
				api.WriteError(w, err)
			}
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &apiClient{t, server.URL + "/client/v4"}
}

// do calls a path below the account's D1 and returns the status, the result
// and the first error.
func (c *apiClient) do(method, path string, body any) (int, json.RawMessage, *api.Error) {
	c.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequest(method, c.base+"/accounts/a1/d1/database"+path, bytes.NewReader(data))
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	var e struct {
		Success bool
		Result  json.RawMessage
		Errors  []*api.Error
	}
	if err := json.NewDecoder(res.Body).Decode(&e); err != nil {
		c.t.Fatal(err)
	}
	if e.Success != (len(e.Errors) == 0) {
		c.t.Errorf("%s %s: success is %t with errors %v", method, path, e.Success, e.Errors)
	}
	if !e.Success {
		return res.StatusCode, e.Result, e.Errors[0]
	}
	return res.StatusCode, e.Result, nil
}

func (c *apiClient) must(method, path string, body, result any) {
	c.t.Helper()
	_, raw, apiErr := c.do(method, path, body)
	if apiErr != nil {
		c.t.Fatalf("%s %s: %v", method, path, apiErr)
	}
	if result != nil {
		if err := json.Unmarshal(raw, result); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
}

type object = map[string]any

func TestAPIErrors(t *testing.T) {
	c := newAPI(t, openStore(t, d1.Options{}))
	c.must("POST", "", object{"name": "taken"}, nil)
	tests := []struct {
		name, method, path string
		body               any
		status, code       int
		message            string
	}{
		{"name taken", "POST", "", object{"name": "taken"}, 400, 7502, "already exists"},
		{"bad name", "POST", "", object{"name": "no spaces"}, 400, 7500, "invalid database name"},
		{"unknown", "GET", "/nope", nil, 404, 7404, "The database nope could not be found"},
		{"query unknown", "POST", "/nope/query", object{"sql": "SELECT 1"}, 404, 7404, "could not be found"},
		{"delete unknown", "DELETE", "/nope", nil, 404, 7404, "could not be found"},
		{"SQL", "POST", "/taken/query", object{"sql": "SELECT * FROM x"}, 400, 7500, "no such table: x: SQLITE_ERROR"},
		{"no SQL", "POST", "/taken/query", object{}, 400, 7500, "No SQL statements detected."},
		{"parameter", "POST", "/taken/query", object{"sql": "SELECT ?", "params": []any{object{}}}, 400, 10001, "parameter is an object"},
		{"replication", "PATCH", "/taken", object{"read_replication": object{"mode": "auto"}}, 400, 7500, "one machine"},
		{"import action", "POST", "/taken/import", object{"action": "x"}, 400, 7500, "unknown"},
		{"import poll", "POST", "/taken/import", object{"action": "poll", "current_bookmark": "x"}, 404, 7404, "Not currently importing"},
		{"upload", "PUT", "/taken/upload/x", nil, 404, 7404, "start the import again"},
		{"no such bookmark", "POST", "/taken/time_travel/restore?bookmark=ffffffffffffffff", nil, 400, 7500, "has no such bookmark"},
		{"no bookmark", "POST", "/taken/time_travel/restore?bookmark=x", nil, 400, 7500, "16 hexadecimal digits"},
		{"old bookmark", "POST", "/taken/time_travel/restore?bookmark=0000000000000001", nil, 400, 7500, "You can only Time Travel up to 30 days"},
		{"nothing to restore", "POST", "/taken/time_travel/restore", nil, 400, 7500, "either a bookmark or a timestamp"},
		{"past", "GET", "/taken/time_travel/bookmark?timestamp=2020-01-01T00:00:00Z", nil, 400, 7500, "The oldest available bookmark"},
		{"no time", "GET", "/taken/time_travel/bookmark?timestamp=yesterday", nil, 400, 7500, "RFC 3339"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, _, err := c.do(tt.method, tt.path, tt.body)
			if err == nil || status != tt.status || err.Code != tt.code || !strings.Contains(err.Message, tt.message) {
				t.Errorf("got %d %v, want %d with code %d and %q", status, err, tt.status, tt.code, tt.message)
			}
		})
	}
}

func TestAPILife(t *testing.T) {
	c := newAPI(t, openStore(t, d1.Options{}))
	var made, got object
	c.must("POST", "", object{"name": "one"}, &made)
	c.must("POST", "", object{"name": "two"}, nil)
	id := made["uuid"].(string)
	if c.must("GET", "/one?fields=uuid,name", nil, &got); got["uuid"] != id {
		t.Errorf("by name: %v, want id %s", got, id)
	}
	c.must("POST", "/"+id+"/query", object{"sql": "CREATE TABLE t(a); CREATE TABLE u(a)"}, nil)
	if c.must("GET", "/"+id, nil, &got); got["num_tables"] != 2.0 || got["file_size"] != 12288.0 || got["version"] != "production" {
		t.Errorf("info: %v", got)
	}
	var list []object
	if c.must("GET", "?per_page=1&page=2", nil, &list); len(list) != 1 {
		t.Errorf("page 2 has %v, want one database", list)
	}
	if c.must("GET", "?per_page=1&page=3", nil, &list); len(list) != 0 {
		t.Errorf("page 3 has %v, want none", list)
	}
	c.must("DELETE", "/"+id, nil, nil)
	if status, _, _ := c.do("GET", "/"+id, nil); status != 404 {
		t.Errorf("deleted database answers %d", status)
	}
}

func TestAPIQuery(t *testing.T) {
	c := newAPI(t, openStore(t, d1.Options{}))
	c.must("POST", "", object{"name": "q"}, nil)
	results := func(path string, body any) string {
		var list []struct{ Results json.RawMessage }
		c.must("POST", "/q/"+path, body, &list)
		var texts []string
		for _, r := range list {
			texts = append(texts, string(r.Results))
		}
		return strings.Join(texts, " ")
	}
	tests := []struct {
		name, path string
		body       any
		want       string
	}{
		{"several statements", "query", object{"sql": "CREATE TABLE t(a,b); INSERT INTO t VALUES(1,'x;y'); SELECT * FROM t"}, `[] [] [{"a":1,"b":"x;y"}]`},
		{"parameters", "query", object{"sql": "SELECT ? AS p", "params": []any{"7"}}, `[{"p":"7"}]`},
		{"raw", "raw", object{"sql": "SELECT a, b FROM t"}, `{"columns":["a","b"],"rows":[[1,"x;y"]]}`},
		{"batch", "query", object{"batch": []any{object{"sql": "SELECT 1 AS a"}, object{"sql": "SELECT ? AS b", "params": []any{2}}}}, `[{"a":1}] [{"b":2}]`},
		{"trigger", "query", object{"sql": "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a=9; DELETE FROM t WHERE a=8; END; SELECT 1 AS a"}, `[] [{"a":1}]`},
	}
	for _, tt := range tests {
		if got := results(tt.path, tt.body); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	c.do("POST", "/q/query", object{"sql": "INSERT INTO t VALUES(5,5); SELECT * FROM nope"})
	if got := results("query", object{"sql": "SELECT count(*) AS n FROM t WHERE b=5"}); got != `[{"n":0}]` {
		t.Errorf("a request that failed left %s rows", got)
	}
}

// TestImportExport goes the way of `wrangler d1 export` and `d1 execute --file`.
func TestImportExport(t *testing.T) {
	c := newAPI(t, openStore(t, d1.Options{}))
	c.must("POST", "", object{"name": "from"}, nil)
	c.must("POST", "", object{"name": "to"}, nil)
	const schema = `CREATE TABLE "odd ""name" (id INTEGER PRIMARY KEY AUTOINCREMENT, v, g AS (id*2));
		CREATE TABLE child (id REFERENCES parent(id)); CREATE TABLE parent (id INTEGER PRIMARY KEY);
		CREATE INDEX i ON child(id); CREATE VIEW w AS SELECT * FROM parent;
		CREATE TRIGGER tr AFTER DELETE ON parent BEGIN DELETE FROM child WHERE id = old.id; END;
		INSERT INTO parent VALUES(7); INSERT INTO child VALUES(7);
		INSERT INTO "odd ""name" (v) VALUES (NULL),(1),(1.0),(1e300*1e300),('it''s; é'),(x'00ff'),(char(0)),(-0.1),(9223372036854775807);`
	c.must("POST", "/from/query", object{"sql": schema}, nil)

	var export struct {
		Status string
		Result struct {
			Filename  string
			SignedURL string `json:"signed_url"`
		}
	}
	c.must("POST", "/from/export", object{"output_format": "polling", "dump_options": object{}}, &export)
	if export.Status != "complete" || export.Result.Filename != "from.sql" {
		t.Fatalf("export: %+v", export)
	}
	dump := get(t, export.Result.SignedURL)

	var init struct {
		Filename  string
		UploadURL string `json:"upload_url"`
	}
	sum := md5.Sum(dump)
	etag := hex.EncodeToString(sum[:])
	c.must("POST", "/to/import", object{"action": "init", "etag": etag}, &init)
	req, _ := http.NewRequest("PUT", init.UploadURL, bytes.NewReader(append([]byte("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n"), append(dump, "COMMIT;\n"...)...)))
	if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	var status struct {
		Status string
		Errors []string
		Mark   string `json:"at_bookmark"`
		Result struct {
			Queries int `json:"num_queries"`
		}
	}
	c.must("POST", "/to/import", object{"action": "ingest", "filename": init.Filename, "etag": etag}, &status)
	if status.Status != "error" || !strings.Contains(strings.Join(status.Errors, ""), "MD5") {
		t.Errorf("an upload with another MD5 gave %+v", status)
	}

	c.must("POST", "/to/import", object{"action": "init", "etag": etag}, &init)
	req, _ = http.NewRequest("PUT", init.UploadURL, bytes.NewReader(dump))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("ETag"); got != `"`+etag+`"` {
		t.Errorf("ETag of the upload is %s, want %s", got, etag)
	}
	c.must("POST", "/to/import", object{"action": "ingest", "filename": init.Filename, "etag": etag}, nil)
	c.must("POST", "/to/import", object{"action": "poll", "current_bookmark": strings.TrimSuffix(init.Filename, ".sql")}, &status)
	if status.Status != "complete" || status.Result.Queries == 0 {
		t.Fatalf("import: %+v\n%s", status, dump)
	}

	c.must("POST", "/to/export", object{"dump_options": object{}}, &export)
	if again := get(t, export.Result.SignedURL); !bytes.Equal(again, dump) {
		t.Errorf("the copy dumps as\n%s\nthe original as\n%s", again, dump)
	}
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res.Status, err)
	}
	return body
}

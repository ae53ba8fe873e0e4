package analytics

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/celltest"
	"github.com/selvage-edge/selvage/internal/poll"
)

// worker evaluates the calls by name.
const worker = `const calls = {
  all: { indexes: ["a3cd45"], blobs: ["Seattle", null, "grüß", new Uint8Array([104, 105]).buffer], doubles: [25, 0.5, NaN, -Infinity] },
  none: undefined, empty: {}, nulls: { indexes: [null], blobs: [null] },
  number: { blobs: [7] },
  index: { indexes: ["x".repeat(97)] }, indexes: { indexes: ["a", "b"] },
  blobs: { blobs: Array(21).fill("x") }, doubles: { doubles: Array(21).fill(1) }, large: { blobs: ["x".repeat(16001)] }, text: { doubles: ["one"] },
  last: { indexes: ["last"] },
  largest: { indexes: ["i".repeat(96)], blobs: Array(20).fill("ÿ".repeat(400)), doubles: Array(20).fill(Number.MAX_VALUE) },
};
export default {
  async fetch(request, env) {
    try {
      return new Response(String(env.STATS.writeDataPoint(calls[new URL(request.url).pathname.slice(1)])));
    } catch (e) {
      return new Response(e.name + ": " + e.message);
    }
  },
};`

func TestBindingInWorkerd(t *testing.T) {
	k := &Kind{open(t, Options{})}
	b, err := config.NewBinding("STATS", k.Type(), map[string]string{"dataset": "weather"})
	if err != nil {
		t.Fatal(err)
	}
	cell := celltest.Run(t, worker, map[string]func(string) binding.Mount{"STATS": func(service string) binding.Mount {
		m, err := k.Mount(b, binding.Site{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}})
	for _, c := range []struct{ call, want string }{
		{"all", "undefined"}, {"none", "undefined"}, {"empty", "undefined"}, {"nulls", "undefined"}, {"number", "undefined"}, {"largest", "undefined"},
		{"text", "undefined"}, // JavaScript makes NaN of it
		// What is beyond a limit is not recorded, and the Worker does not hear of it:
		// https://developers.cloudflare.com/analytics/analytics-engine/get-started/
		{"index", "undefined"}, {"indexes", "undefined"}, {"blobs", "undefined"}, {"doubles", "undefined"}, {"large", "undefined"},
		{"last", "undefined"},
	} {
		if got := cell.Get("/" + c.call); got != c.want {
			t.Errorf("%s: %s, want %s", c.call, got, c.want)
		}
	}
	count := func(where string) string { return ask(t, k.store, "SELECT count() FROM weather"+where) }
	poll.Until(t, "the last point", func() bool { return count(" WHERE index1 = 'last'") == "1" && count("") >= "8" })
	if got := count(""); got != "8" {
		t.Errorf("%s points are there, want 8", got)
	}
	if got, want := ask(t, k.store, "SELECT blob1, blob2, blob3, blob4, double1, double2, double3, double4, double5, _sample_interval FROM weather WHERE index1 = 'a3cd45'"),
		"Seattle\t\tgrüß\thi\t25\t0.5\tnan\t-inf\t0\t1"; got != want {
		t.Errorf("all: %q, want %q", got, want)
	}
	if got, want := ask(t, k.store, "SELECT length(index1), length(blob20), double20 FROM weather WHERE index1 LIKE 'i%'"), "96\t400\t1.7976931348623157e+308"; got != want {
		t.Errorf("largest: %q, want %q", got, want)
	}
	if got := ask(t, k.store, "SELECT count() FROM weather WHERE timestamp <= now() + INTERVAL '10' YEAR AND blob1 = '7'"); got != "1" {
		t.Errorf("a number as a blob: %s", got)
	}
}

func TestSettings(t *testing.T) {
	for raw, want := range map[string]string{
		`{}`: "", `{"dataset":""}`: "", `{"dataset":"page_views"}`: "",
		`{"dataset":"a b"}`: "letters, digits, - and _", `{"dataset":7}`: "dataset",
	} {
		err := (&Kind{}).Validate(config.Binding{Name: "STATS", Type: "analytics_engine", Raw: []byte(raw)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if name, err := settings(config.Binding{Name: "STATS", Raw: []byte(`{}`)}); name != "STATS" {
		t.Errorf("without a name the data set is %q, %v", name, err)
	}
}

func TestSQLAPI(t *testing.T) {
	k := &Kind{open(t, Options{})}
	write(t, k.store, "set", Point{Blobs: []string{"a"}})
	mux := http.NewServeMux()
	for _, r := range k.Routes() {
		mux.HandleFunc(r.Method+" "+r.Path, func(w http.ResponseWriter, req *http.Request) {
			if err := r.Handle(w, req); err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range []struct {
		method, target, body string
		status               int
		kind, want           string
	}{
		{"POST", "", "SELECT blob1 FROM set", 200, "application/json", `{"meta":[{"name":"blob1","type":"String"}],"data":[{"blob1":"a"}],"rows":1}` + "\n"},
		{"POST", "", "SELECT blob1 FROM set FORMAT TabSeparated", 200, "text/tab-separated-values; charset=utf-8", "a\n"},
		{"GET", "?query=SHOW+TABLES+FORMAT+JSONEachRow", "", 200, "application/x-ndjson", `{"dataset":"set","type":"table"}` + "\n"},
		{"POST", "", "SELECT CASE WHEN 1 THEN 2 END", 422, "text/plain; charset=utf-8", "Input was invalid: unsupported expression type: CASE"},
		{"POST", "", strings.Repeat(" ", maxQuery+1), 422, "text/plain; charset=utf-8", "Input was invalid: the query has 65537 bytes; at most 65536 are allowed"},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(c.method, "/accounts/a/analytics_engine/sql"+c.target, strings.NewReader(c.body)))
		body, _ := io.ReadAll(w.Body)
		if w.Code != c.status || w.Header().Get("Content-Type") != c.kind || string(body) != c.want {
			t.Errorf("%s %s%.50s: %d %s %s", c.method, c.target, c.body, w.Code, w.Header().Get("Content-Type"), body)
		}
	}
}

package control

import (
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
)

// What wrangler asks before it deletes a Worker that others use.
func TestDeletingAWorkerThatOthersUse(t *testing.T) {
	b := newBench(t)
	b.upload(`{"main_module":"index.js","migrations":{"new_tag":"v1","steps":[{"new_sqlite_classes":["Counter"]}]}}`, "export default {}")
	typ, body := form(t, []string{`metadata json {"main_module":"index.js","bindings":[
		{"name":"API","type":"service","service":"api"},
		{"name":"C","type":"durable_object_namespace","class_name":"Counter","script_name":"api"}]}`, "index.js application/javascript+module export default {}"})
	if status, _, answer := b.do("PUT", "{A}/workers/scripts/caller", typ, body); status != 200 {
		t.Fatalf("upload: %d %s", status, answer)
	}
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "{W}/references", 200, `"incoming":[{"environment":"production","service":"caller"}]`},
		{"GET", "{W}/references", 200, `"durable_objects":[{"durable_object_namespace_name":"api_Counter","service":"caller"}]`},
		{"GET", "{A}/containers/applications", 200, `"result":[]`},
		{"DELETE", "{A}/workers/services/api?force=false", 400, `other Workers refer to it: caller`},
		{"DELETE", "{A}/workers/services/api?force=true", 200, ""},
	} {
		if status, _, answer := b.do(c.method, c.path, "", ""); status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%s %s: got %d %s, want %d with %s", c.method, c.path, status, answer, c.status, c.want)
		}
	}
}

// holder is a product that needs the Worker "api".
type holder struct{ binding.Kind }

func (holder) Type() string { return "holder" }
func (holder) Holds(worker string) string {
	if worker == "api" {
		return "script still in use by a test"
	}
	return ""
}

func TestDeletingAWorkerThatAProductNeeds(t *testing.T) {
	b := newBenchAt(t, func(o *Options) { o.Kinds = append(o.Kinds, holder{}) })
	b.upload(plainUpload, "export default {}")
	for _, c := range []struct {
		query  string
		status int
		want   string
	}{
		{"", 400, `"code":10064,"message":"script still in use by a test"`},
		{"?force=true", 200, ""},
	} {
		if status, _, answer := b.do("DELETE", "{W}"+c.query, "", ""); status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%s: %d %s", c.query, status, answer)
		}
	}
}

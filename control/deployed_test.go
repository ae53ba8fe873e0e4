package control

import (
	"strings"
	"testing"
)

// What changes a Worker in place makes a version of the newest one and deploys
// it. It must not thereby deploy code that was only uploaded.
func TestChangesInPlaceNeedTheNewestVersionDeployed(t *testing.T) {
	for _, c := range []struct{ method, path, contentType, body string }{
		{"PUT", "{W}/secrets", "", `{"name":"A","text":"1","type":"secret_text"}`},
		{"DELETE", "{W}/secrets/S", "", ""},
		{"PATCH", "{W}/secrets-bulk", "", `{"secrets":{"A":{"name":"A","text":"1","type":"secret_text"}}}`},
		{"PATCH", "{W}/settings", "", `{"bindings":[{"name":"A","text":"1","type":"secret_text"}]}`},
		{"PATCH", "{W}/settings", "form", "settings json " + `{"bindings":[{"name":"A","text":"1","type":"secret_text"}]}`},
	} {
		b := newBench(t)
		live := b.upload(`{"main_module":"index.js","bindings":[{"name":"S","type":"secret_text","text":"s"}]}`, "export default {}")
		typ, upload := form(t, []string{"metadata json " + plainUpload, "index.js application/javascript+module export default {later: 1}"})
		if status, _, answer := b.do("POST", "{W}/versions", typ, upload); status != 200 {
			t.Fatalf("upload: %d %s", status, answer)
		}
		contentType, body := c.contentType, c.body
		if contentType == "form" {
			contentType, body = form(t, []string{body})
		}
		if status, _, answer := b.do(c.method, c.path, contentType, body); status != 400 || !strings.Contains(answer, `"code":10215`) {
			t.Errorf("%s %s: got %d %s, want 10215", c.method, c.path, status, answer)
		}
		if got := b.state.Current().Workers["api"].Shares[0].Version.ID; got != live {
			t.Errorf("%s %s: version %s is deployed, want %s", c.method, c.path, got, live)
		}
	}
}

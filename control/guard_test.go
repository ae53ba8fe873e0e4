package control

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/state"
)

const plainUpload = `{"main_module":"index.js"}`

func TestTokensAndScopes(t *testing.T) {
	b := newBench(t)
	b.upload(plainUpload, "export default {}")
	tokens := map[string]string{"": "", "all": b.token, "wrong": "slv_wrong"}
	for _, scope := range []string{"workers_scripts:read", "workers_scripts:edit", "d1:edit"} {
		token, err := b.auth.Create(t.Context(), scope, []string{scope}, 0)
		if err != nil {
			t.Fatal(err)
		}
		tokens[scope] = token
	}
	for _, c := range []struct {
		token, method, path string
		status              int
		text                string
	}{
		{"", "GET", "{W}/settings", 400, `"code":9106`},
		{"wrong", "GET", "{W}/settings", 401, `"code":10000`},
		{"all", "GET", "{W}/settings", 200, ""},
		{"workers_scripts:read", "GET", "{W}/settings", 200, ""},
		{"workers_scripts:read", "DELETE", "{W}", 403, `does not have the scope workers_scripts:edit`},
		{"workers_scripts:read", "GET", "{A}/things/x", 403, `does not have the scope d1:read`},
		{"workers_scripts:edit", "GET", "{W}/settings", 200, ""},
		{"workers_scripts:edit", "POST", "/zones", 403, `does not have the scope zone:edit`},
		{"d1:edit", "GET", "{W}/settings", 403, `does not have the scope workers_scripts:read`},
		{"d1:edit", "PUT", "{A}/things/x", 200, ""},
		{"d1:edit", "GET", "/user/tokens/verify", 200, "active"},
		{"d1:edit", "GET", "/accounts/00000000000000000000000000000000/things/x", 403, "its account id is " + b.account},
	} {
		status, _, body := b.do(c.method, c.path, "", "", "Authorization", "Bearer "+tokens[c.token])
		if status != c.status || !strings.Contains(body, c.text) {
			t.Errorf("%s %s with %q: got %d %s, want %d %s", c.method, c.path, c.token, status, body, c.status, c.text)
		}
	}
	if status, _, _ := b.do("GET", "{W}/settings", "", "", "Authorization", "", "X-Auth-Key", b.token, "X-Auth-Email", "me@example.com"); status != 200 {
		t.Errorf("a token as an API key: got %d", status)
	}
}

func TestWrongTokensAreThrottled(t *testing.T) {
	b := newBench(t)
	status := 0
	for range 12 {
		status, _, _ = b.do("GET", "/user", "", "", "Authorization", "Bearer slv_guess")
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("the 12th wrong token got %d", status)
	}
}

func TestPathsAreRoutedEscaped(t *testing.T) {
	b := newBench(t)
	for path, want := range map[string]string{
		"{A}/things/a%2Fb":      `"a/b"`,
		"{A}//things///a%2F%2F": `"a//"`,
		"{A}/things/a%20b/":     `"a b"`,
		"{A}/things/%E2%82%AC":  `"€"`,
		"{A}/things/..":         `"code":7003`,
		"{A}/nothing":           `"code":7003`,
	} {
		status, header, body := b.do("GET", path, "", "")
		if !strings.Contains(body, want) || status >= 300 && status < 400 || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: got %d %s, want %s", path, status, body, want)
		}
	}
	if status, _, body := b.do("PATCH", "{W}/schedules", "", ""); status != 404 || !strings.Contains(body, "7003") {
		t.Errorf("a method that is not there: got %d %s", status, body)
	}
	r, err := http.Get(b.url + "/user")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 400 {
		t.Errorf("without /client/v4: got %d", r.StatusCode)
	}
}

func TestEveryWriteIsInTheAuditLog(t *testing.T) {
	b := newBench(t)
	b.upload(plainUpload, "export default {}")
	b.do("POST", "{W}/subdomain", "", `{"enabled":true}`)
	b.do("PUT", "{A}/things/x", "", "value")
	b.do("POST", "{W}/subdomain", "", `not JSON`) // refused: nothing happened
	b.do("GET", "{A}/things/x", "", "")
	var log []state.Entry
	err := b.state.View(t.Context(), func(tx *state.Tx) (err error) {
		log, err = tx.AuditLog(0, 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(log) != 3 {
		t.Fatalf("log has %d entries: %+v", len(log), log)
	}
	for i, want := range []string{"PUT /accounts/{A}/workers/scripts/api", "POST /accounts/{A}/workers/scripts/api/subdomain", "PUT /accounts/{A}/things/x"} {
		e := log[i]
		if e.Action != strings.ReplaceAll(want, "{A}", b.account) || e.TokenName != "laptop" || e.From != "127.0.0.1" || e.Time.IsZero() {
			t.Errorf("entry %d is %+v, want %s", i, e, want)
		}
	}
	if c := log[1].Changes[0]; string(c.Before) != `{"previews":false,"subdomain":false}` || !strings.Contains(string(c.After), `"subdomain":true`) {
		t.Errorf("the change was %s to %s", c.Before, c.After)
	}
	if len(log[2].Body) != 64 {
		t.Errorf("entry of another package has body digest %q", log[2].Body)
	}
	if status, _, body := b.do("GET", "{A}/audit_logs", "", ""); status != 200 || !strings.Contains(body, `"token_name":"laptop"`) {
		t.Errorf("audit_logs: %d %s", status, body)
	}
}

func TestSecretsNeverLeave(t *testing.T) {
	b := newBench(t)
	b.upload(`{"main_module":"index.js","bindings":[{"name":"S","type":"secret_text","text":"correct horse"}]}`, "export default {}")
	v := b.state.Current().Workers["api"].Shares[0].Version
	if !strings.Contains(string(v.Bindings[0].Raw), "correct horse") {
		t.Fatal("the version that runs does not have the secret")
	}
	for _, path := range []string{"{W}/settings", "{W}/secrets", "{W}/secrets/S", "{W}/versions", "{W}/versions/" + v.ID, "{A}/workers/scripts",
		"{A}/workers/services/api", "{A}/workers/workers/api", "{A}/workers/services/api/environments/production/bindings", "{A}/audit_logs"} {
		if status, _, body := b.do("GET", path, "", ""); status != 200 || strings.Contains(body, "horse") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestUploadsThatAreTooLarge(t *testing.T) {
	b := newBench(t)
	noise := make([]byte, MaxScriptGzipBytes+1<<20)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for name, code := range map[string]string{
		"before compression": strings.Repeat(" ", MaxScriptBytes+1),
		"after compression":  string(noise),
	} {
		typ, body := form(t, []string{"metadata json " + plainUpload, "index.js application/javascript+module x", "data application/octet-stream " + code})
		if status, _, answer := b.do("PUT", "{W}", typ, body); status != 413 || !strings.Contains(answer, `"code":10027`) {
			t.Errorf("%s: got %d %.200s", name, status, answer)
		}
	}
	typ, body := form(t, []string{"metadata json " + plainUpload, "index.js application/javascript+module " + strings.Repeat("/", MaxScriptGzipBytes+1)})
	if status, _, answer := b.do("PUT", "{W}", typ, body); status != 200 {
		t.Errorf("large but compressible: got %d %.200s", status, answer)
	}
}

func TestFullDiskIsNamed(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, sqlite3.FULL, sqlite3.IOERR_WRITE} {
		s := &server{Options: Options{Log: slog.New(slog.DiscardHandler)}}
		w := httptest.NewRecorder()
		s.guard(api.Route{Open: true, Handle: func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("store module: %w", cause)
		}}, false).ServeHTTP(w, httptest.NewRequest("PUT", "/", nil))
		if w.Code != http.StatusInsufficientStorage || !strings.Contains(w.Body.String(), "the disk is full") {
			t.Errorf("%v: %d %s", cause, w.Code, w.Body)
		}
	}
}

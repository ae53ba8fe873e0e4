package control

import (
	"strings"
	"testing"
)

// A stored secret is known by a reference. Whoever could name one could read the
// secret of another Worker.
func TestForgedSecretsAreRefused(t *testing.T) {
	b := newBench(t)
	live := b.upload(`{"main_module":"index.js","bindings":[{"name":"S","type":"secret_text","text":"s"}]}`, "export default {}")
	const forged = `{"name":"X","type":"secret_text","secret":"0123"}`
	upload := []string{`metadata json {"main_module":"index.js","bindings":[` + forged + `]}`, "index.js application/javascript+module x"}
	for _, c := range []struct {
		method, path, body string
		form               []string
	}{
		{method: "PUT", path: "{W}", form: upload},
		{method: "POST", path: "{W}/versions", form: upload},
		{method: "PUT", path: "{W}/secrets", body: forged},
		{method: "PATCH", path: "{W}/secrets-bulk", body: `{"secrets":{"X":` + forged + `}}`},
		{method: "PATCH", path: "{W}/settings", body: `{"bindings":[` + forged + `]}`},
	} {
		contentType, body := "", c.body
		if c.form != nil {
			contentType, body = form(t, c.form)
		}
		if status, _, answer := b.do(c.method, c.path, contentType, body); status != 400 || !strings.Contains(answer, `"secret\" is not known`) {
			t.Errorf("%s %s: got %d %s", c.method, c.path, status, answer)
		}
		if got := b.state.Current().Workers["api"].Shares[0].Version.ID; got != live {
			t.Errorf("%s %s: version %s is deployed, want %s", c.method, c.path, got, live)
		}
	}
}

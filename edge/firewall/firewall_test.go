package firewall

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/edgetest"
	"github.com/selvage-edge/selvage/ruleset"
)

func custom(expression, action string) ruleset.FirewallRule {
	return ruleset.FirewallRule{Rule: ruleset.Rule{Expression: expression}, Action: action}
}

func TestFirewall(t *testing.T) {
	var log bytes.Buffer
	stage := &Stage{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	off := false
	teapot := custom(`http.request.uri.path eq "/tea"`, "block")
	teapot.Response = &ruleset.Response{Status: 418, ContentType: "application/json", Content: `{"error":"teapot"}`}
	disabled := custom(`true`, "block")
	disabled.Enabled = &off
	named := custom(`http.request.uri.path eq "/logged"`, "log")
	named.Description = "look at this"
	stage.Rules.Set(edgetest.Compile(t, ruleset.Rules{Firewall: []ruleset.FirewallRule{
		disabled,
		named,
		custom(`http.host eq "free.example.com"`, "skip"),
		custom(`starts_with(http.request.uri.path, "/admin") and not ip.src in {192.0.2.0/24}`, "block"),
		custom(`cf.worker.upstream_zone eq "example.net" and raw.http.request.uri eq "/from?a" and not ssl`, "block"),
		custom(`any(lower(http.request.headers["x-evil"][*])[*] contains "yes")`, "block"),
		teapot,
		custom(`lookup_json_string(http.request.body.raw, "user", "name") eq "mallory"`, "block"),
		custom(`any(http.request.body.form["op"][*] eq "drop")`, "block"),
	}}).Firewall)
	s := edgetest.Start(t, stage)
	for _, c := range []struct {
		name, method, url, body string
		header                  []string
		status                  int
		want                    string
	}{
		{"passes", "GET", "http://a.example/x", "", nil, 200, `"URI":"/x"`},
		{"blocked, for a program", "GET", "http://a.example/admin/1", "", nil, 403, "error code: 1020\nAccess denied\nYou are unable to access a.example.\nRay ID: "},
		{"blocked, for a person", "GET", "http://a.example/admin", "", []string{"Accept: text/html"}, 403, "<h2>Access denied</h2>"},
		{"blocked, for an API", "GET", "http://a.example/admin", "", []string{"Accept: application/json"}, 403, `"error_code":1020`},
		{"in another way of writing", "GET", "http://a.example/x/..//%61dmin", "", nil, 403, "1020"},
		{"skipped", "GET", "http://free.example.com/admin", "", nil, 200, `"URI":"/admin"`},
		{"skipped in another way of writing the host", "GET", "http://FREE.example.com.:8080/admin", "", nil, 200, `"URI":"/admin"`},
		{"by a header", "GET", "http://a.example/", "", []string{"X-Evil: no", "X-Evil: YES"}, 403, "1020"},
		{"a response of one's own", "GET", "http://a.example/tea", "", nil, 418, `{"error":"teapot"}`},
		{"a response of one's own to HEAD", "HEAD", "http://a.example/tea", "", nil, 418, ""},
		{"by the body", "POST", "http://a.example/", `{"user":{"name":"mallory"}}`, nil, 403, "1020"},
		{"a body reaches the Worker", "POST", "http://a.example/", `{"user":{"name":"alice"}}`, nil, 200, `alice`},
		{"by a form", "POST", "http://a.example/", "op=drop", []string{"Content-Type: application/x-www-form-urlencoded"}, 403, "1020"},
		{"a large body reaches the Worker", "POST", "http://a.example/", strings.Repeat("x", 200_000), nil, 200, strings.Repeat("x", 200_000)},
		{"logged", "GET", "http://a.example/logged", "", nil, 200, ""},
	} {
		res, text := s.Do(c.method, c.url, c.body, c.header...)
		if res.StatusCode != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s: %d %.300s", c.name, res.StatusCode, text)
		}
		if c.status == 418 && res.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s: %v", c.name, res.Header)
		}
	}
	if line := log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, `action=log rule="look at this"`) || !strings.Contains(line, "path=/logged") || !strings.Contains(line, "client=127.0.0.1") {
		t.Errorf("logged: %s", line)
	}
	if status, text := s.Inside("/from?a"); status != 403 || !strings.Contains(text, "1020") {
		t.Errorf("a request of a Worker: %d %s", status, text)
	}
	if status, text := s.Inside("/other"); status != 200 {
		t.Errorf("a request of a Worker: %d %s", status, text)
	}
	stage.Rules.Set(nil)
	if res, _ := s.Do("GET", "http://a.example/admin", ""); res.StatusCode != 200 {
		t.Error("a rule that was taken away blocks")
	}
}

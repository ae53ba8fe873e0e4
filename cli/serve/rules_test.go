package serve

import (
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/selvage-edge/selvage/cli/settings"
	"github.com/selvage-edge/selvage/internal/poll"
)

const ruled = `
[lists.office]
items = ["192.0.2.0/24"]

[[rules.redirects]]
expression = 'http.request.uri.path eq "/home"'
to = "/"
status = 302

[[rules.url_rewrites]]
expression = 'starts_with(http.request.uri.path, "/v1/")'
path_expression = 'substring(http.request.uri.path, 3)'

[[rules.firewall]]
description = "the office alone"
expression = 'http.request.uri.path eq "/admin" and not ip.src in $office'
action = "block"

[[rules.bulk_redirects]]
from = "web.localhost/moved"
to = "https://example.com/"

[[rules.request_headers]]
expression = 'true'
set_expression = { "X-Ruled" = 'concat("by ", http.host)' }

[[rules.response_headers]]
expression = 'true'
set_expression = { "X-Answered" = 'to_string(http.response.code)' }
`

// The rules of selvage.toml hold in front of Workers. SIGHUP replaces them; a
// file with a mistake leaves those that there were, and is told with its line.
func TestRules(t *testing.T) {
	var text atomic.Pointer[string]
	write := func(s string) { text.Store(&s) }
	dir := t.TempDir()
	load := func() (*settings.Settings, error) {
		f, err := settings.Parse("selvage.toml", []byte(*text.Load()))
		if err != nil {
			return nil, err
		}
		f.Data, f.HTTP.Listen, f.Admin.Listen = dir, []string{"127.0.0.1:0"}, "127.0.0.1:0"
		return f.Settings()
	}
	write(ruled)
	s, err := load()
	if err != nil {
		t.Fatal(err)
	}
	hangup := make(chan os.Signal)
	r := start(t, s, Options{Reload: hangup, Load: load})
	r.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r.deploy("web", `export default { fetch: (r) => new Response(new URL(r.url).pathname + " " + r.headers.get("x-ruled")) };`, nil)
	get := func(path string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest("GET", r.edge+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "web.localhost"
		res, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(body)
	}
	check := func(path string, status int, want, location string) {
		t.Helper()
		res, body := get(path)
		if res.StatusCode != status || !strings.Contains(body, want) || res.Header.Get("Location") != location {
			t.Errorf("%s: %d %q %v", path, res.StatusCode, body, res.Header)
		}
	}
	all := func() {
		t.Helper()
		check("/x", 200, "/x by web.localhost", "")
		check("/v1/users", 200, "/users by", "")
		check("/home", 302, "", "/")
		check("/moved", 301, "", "https://example.com/")
		check("/v1/admin", 403, "error code: 1020\nAccess denied\nYou are unable to access web.localhost.", "")
		for path, want := range map[string]string{"/x": "200", "/admin": "403", "/home": "302"} {
			if res, _ := get(path); res.Header.Get("X-Answered") != want {
				t.Errorf("%s: %v", path, res.Header)
			}
		}
	}
	all()

	write(strings.Replace(ruled, "http.request.uri.path eq \"/admin\"", "http.request.uri.pth eq \"/admin\"", 1))
	hangup <- syscall.SIGHUP
	poll.Until(t, "the mistake is told", func() bool {
		return strings.Contains(r.screen.String(), `selvage.toml:16: rules.firewall[1].expression: 1:1: there is no field \"http.request.uri.pth\"; did you mean http.request.uri.path?`)
	})
	all()

	write(strings.Replace(ruled, "192.0.2.0/24", "127.0.0.0/8", 1))
	hangup <- syscall.SIGHUP
	poll.Until(t, "the new rules are in force", func() bool { return strings.Contains(r.screen.String(), "configuration reloaded") })
	check("/admin", 200, "/admin by", "")

	write("")
	hangup <- syscall.SIGHUP
	poll.Until(t, "the rules are gone", func() bool { res, _ := get("/home"); return res.StatusCode == 200 })
	check("/x", 200, "/x null", "")
}

package control

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// The addresses that wrangler puts together from our answers are those at which
// the server answers. conformance/wrangler has the text that it prints.
func TestPrintedAddresses(t *testing.T) {
	for _, c := range []struct {
		scheme, port           string
		old, new               string // of the Worker, printed by 4.86 and by 4.164
		oldPreview, newPreview string // of a version
	}{
		{"http", ":8080",
			"https://api.localhost:8080/#use-http.workers.dev", "https://api.localhost:8080/#use-http.workers.dev",
			"https://12345678-api.localhost:8080/#use-http.workers.dev", "https://12345678-api.localhost:8080/#use-http"},
		{"http", "",
			"https://api.localhost/#use-http.workers.dev", "api.localhost",
			"https://12345678-api.localhost/#use-http.workers.dev", "https://12345678-api.localhost/#use-http"},
		{"https", ":8443",
			"https://api.localhost:8443/#.workers.dev", "https://api.localhost:8443/#.workers.dev",
			"https://12345678-api.localhost:8443/#.workers.dev", "https://12345678-api.localhost:8443"},
		{"https", "",
			"https://api.localhost/#.workers.dev", "api.localhost",
			"https://12345678-api.localhost/#.workers.dev", "https://12345678-api.localhost"},
	} {
		b := newBenchAt(t, func(o *Options) { o.Scheme, o.Port = c.scheme, c.port })
		b.upload(`{"main_module":"index.js"}`, "export default {}")
		get := func(path string, into any, headers ...string) {
			t.Helper()
			_, _, answer := b.do("GET", path, "", "", headers...)
			if err := json.Unmarshal([]byte(answer), into); err != nil {
				t.Fatal(err)
			}
		}
		var account struct{ Result struct{ Subdomain string } }
		get("{A}/workers/subdomain", &account)
		var worker struct {
			Result struct {
				Subdomain struct {
					URL    string
					Suffix string `json:"preview_url_suffix"`
				}
			}
		}
		get("{A}/workers/workers/api", &worker)
		old := "https://api." + account.Result.Subdomain + ".workers.dev"
		printed := old // what wrangler falls back on
		if u := worker.Result.Subdomain.URL; u != "" {
			parsed, err := url.Parse(u)
			if err != nil {
				t.Fatal(err)
			}
			printed = parsed.Hostname()
		}
		for _, x := range []struct{ got, want string }{
			{old, c.old},
			{printed, c.new},
			{"https://12345678-api." + account.Result.Subdomain + ".workers.dev", c.oldPreview},
			{"https://12345678" + worker.Result.Subdomain.Suffix, c.newPreview},
		} {
			u, err := url.Parse(x.got)
			if x.got != x.want || err != nil || strings.HasPrefix(x.got, "https") && (!strings.HasSuffix(u.Hostname(), "api.localhost") || ":"+u.Port() != c.port && c.port != "") {
				t.Errorf("%s%s: %q, want %q; %v", c.scheme, c.port, x.got, x.want, err)
			}
		}

		// Others read them as what they are.
		get("{A}/workers/workers/api", &worker, "User-Agent", "terraform")
		get("{A}/workers/subdomain", &account, "User-Agent", "terraform")
		if want := c.scheme + "://api.localhost" + c.port; worker.Result.Subdomain.URL != want || account.Result.Subdomain != "selvage" {
			t.Errorf("%q, %q; want %q", worker.Result.Subdomain.URL, account.Result.Subdomain, want)
		}
	}
}

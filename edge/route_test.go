package edge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
)

func routed() *config.Snapshot {
	version := func(id string) *config.Version { return &config.Version{ID: id} }
	aliased := func(number int, id, alias string) *config.Version {
		return &config.Version{ID: id, Number: number, Annotations: map[string]string{"workers/alias": alias}}
	}
	return &config.Snapshot{
		WorkersDomain: "workers.test",
		Workers: map[string]*config.Worker{
			"api": {Name: "api", Subdomain: true, PreviewURLs: true,
				Shares: []config.Share{{Version: version("0123abcd-1111-2222-3333-444455556666")}},
				Previews: []*config.Version{
					version("89abcdef-1111-2222-3333-444455556666"),
					aliased(7, "77777777-1111-2222-3333-444455556666", "my-branch"),
					aliased(6, "66666666-1111-2222-3333-444455556666", "my-branch"),
					aliased(8, "88888888-1111-2222-3333-444455556666", "0123abcd"), // not while a version's id begins so
				}},
			"hidden": {Name: "hidden"},
			"my-web": {Name: "my-web", Subdomain: true},
		},
		Routes: []config.Route{
			{Pattern: "custom.example.com", Worker: "custom", CustomDomain: true},
			{Pattern: "MÜNCHEN.example", Worker: "idn", CustomDomain: true},
			{Pattern: "custom.example.com/*", Worker: "never", Zone: "example.com"},
			{Pattern: "example.com", Worker: "root", Zone: "example.com"},
			{Pattern: "*example.com/*", Worker: "any", Zone: "example.com"},
			{Pattern: "*.example.com/*", Worker: "sub", Zone: "example.com"},
			{Pattern: "*.example.com/images/*", Worker: "images", Zone: "example.com"},
			{Pattern: "*.example.com/images/cat.png", Worker: "", Zone: "example.com"},
			{Pattern: "www.example.com/*", Worker: "www", Zone: "example.com"},
			{Pattern: "https://www.example.com/*", Worker: "secure", Zone: "example.com"},
			{Pattern: "www.example.com/a*", Worker: "a", Zone: "example.com"},
			{Pattern: "www.example.com/a/b", Worker: "ab", Zone: "example.com"},
			{Pattern: "www.example.com/a/b*", Worker: "ab*", Zone: "example.com"},
			{Pattern: "www.example.com/Case", Worker: "case", Zone: "example.com"},
			{Pattern: "*-dev.example.org/*", Worker: "dev", Zone: "example.org"},
			{Pattern: "*nozone.example/*", Worker: "nozone"},
			{Pattern: "off.example.net/*", Worker: "", Zone: "example.net"},
			{Pattern: "*.example.net/*", Worker: "net", Zone: "example.net"},
			{Pattern: "*/*", Worker: "zone", Zone: "example.info"},
			{Pattern: "*/*", Worker: "nobody's"},
			{Pattern: "bad*.example.com/*", Worker: "bad"},
		},
	}
}

func TestRoutes(t *testing.T) {
	table := compile(routed(), quiet)
	for url, want := range map[string]string{
		"http://custom.example.com/x":           "custom",
		"http://CUSTOM.Example.com.:8080/x":     "custom",
		"http://xn--mnchen-3ya.example/":        "idn",
		"http://example.com/":                   "root",
		"http://example.com/?q":                 "any", // a query needs a wildcard
		"http://example.com/x":                  "any",
		"http://otherexample.com/":              "",
		"http://a.b.example.com/":               "sub",
		"http://a.example.com/images/dog.png":   "images",
		"http://a.example.com/images/cat.png":   "excluded",
		"http://a.example.com/images/cat.png?x": "images",
		"http://www.example.com/images/dog.png": "www", // an exact host goes before a longer path
		"https://www.example.com/":              "secure",
		"http://www.example.com/":               "www",
		"http://www.example.com/abc":            "a",
		"http://www.example.com/a/b":            "ab",
		"http://www.example.com/a/bc":           "ab*",
		"http://www.example.com/Case":           "case",
		"http://www.example.com/case":           "www",
		"http://example.info/":                  "zone",
		"http://a.example.info/x":               "zone",
		"http://otherexample.info/":             "",
		"http://x-dev.example.org/":             "dev",
		"http://x.example.org/":                 "",
		"http://nozone.example/":                "nozone",
		"http://a.nozone.example/":              "nozone",
		"http://anozone.example/":               "",
		"http://off.example.net/":               "excluded",
		"http://on.example.net/":                "net",
		"http://api.workers.test/":              "api",
		"http://API.workers.test:80/":           "api",
		"http://hidden.workers.test/":           "",
		"http://my-web.workers.test/":           "my-web",
		"http://0123abcd-api.workers.test/":     "api 0123abcd-1111-2222-3333-444455556666",
		"http://89abcdef-api.workers.test/":     "api 89abcdef-1111-2222-3333-444455556666",
		"http://my-branch-api.workers.test/":    "api 77777777-1111-2222-3333-444455556666",
		"http://branch-api.workers.test/":       "",
		"http://-api.workers.test/":             "",
		"http://my-branch-.workers.test/":       "",
		"http://ffffffff-api.workers.test/":     "",
		"http://0123abcd-my-web.workers.test/":  "",
		"http://a.api.workers.test/":            "",
		"http://workers.test/":                  "",
		"http://[::1]:8080/":                    "",
	} {
		scheme, rest, _ := strings.Cut(url, "://")
		host, path, _ := strings.Cut(rest, "/")
		to, ok := table.find(scheme, canonical(host), "/"+path)
		got := strings.TrimSpace(to.worker + " " + to.version)
		if want == "excluded" {
			if ok {
				t.Errorf("%s: %q, want it excluded", url, got)
			}
		} else if got != want || ok != (want != "") {
			t.Errorf("%s: %q %v, want %q", url, got, ok, want)
		}
	}
}

func TestDefaultWorker(t *testing.T) {
	s := routed()
	s.Default = "first"
	table := compile(s, quiet)
	for host, want := range map[string]string{"anything": "first", "api.workers.test": "api", "off.example.net": ""} {
		if to, _ := table.find("http", host, "/"); to.worker != want {
			t.Errorf("%s: %q, want %q", host, to.worker, want)
		}
	}
}

func TestHostsServedHere(t *testing.T) {
	table := compile(routed(), quiet)
	for host, want := range map[string]bool{
		"custom.example.com": true, "example.com": true, "x.example.com": true, "otherexample.com": false,
		"off.example.net": true /* *.example.net */, "api.workers.test": true, "hidden.workers.test": false, "example.edu": false,
	} {
		if got := table.serves(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

func TestPatternErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                      "host is missing",
		"/*":                    "host is missing",
		"*./":                   "host is missing",
		"https://":              "host is missing",
		"ftp://example.com/":    "scheme",
		"example.com/*.jpg":     "last character",
		"a*.example.com/":       "first character",
		"*.*.example.com/":      "first character",
		"example.com/?a=*":      "query",
		"example.com:8080/*":    "ports",
		"exa mple.com/*":        "not a host name",
		"example.com/a b":       "space",
		"http://https://a.com/": "not a host name",
	} {
		if _, err := ParsePattern(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want something about %q", pattern, err, want)
		}
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, r := range routed().Routes {
		f.Add(r.Pattern)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePattern(s)
		if err != nil {
			return
		}
		if !strings.HasPrefix(p.Path, "/") || p.Host == "" && !p.AnyHost || strings.ContainsAny(p.Host+p.Path, "* ") || p.Host != strings.ToLower(p.Host) {
			t.Errorf("%q: %+v", s, p)
		}
		if p.Host == "" {
			return // any host, but only of a zone
		}
		// What a pattern stands for literally, it matches.
		table := compile(&config.Snapshot{Routes: []config.Route{{Pattern: s, Worker: "w"}}}, quiet)
		if to, ok := table.find(p.Scheme, strings.TrimPrefix(p.Host, "."), p.Path); !strings.HasPrefix(p.Host, ".") && (!ok || to.worker != "w") {
			t.Errorf("%q does not match itself: %+v", s, p)
		}
	})
}

func BenchmarkRoute(b *testing.B) {
	for _, n := range []int{1, 1000} {
		s := &config.Snapshot{Workers: map[string]*config.Worker{}}
		for i := range n {
			name := fmt.Sprintf("worker-%d", i)
			s.Workers[name] = &config.Worker{Name: name, Subdomain: true}
			s.Routes = append(s.Routes,
				config.Route{Pattern: fmt.Sprintf("%d.example.com/api/*", i), Worker: name, Zone: "example.com"},
				config.Route{Pattern: fmt.Sprintf("*.z%d.example.com/*", i), Worker: name, Zone: "example.com"})
		}
		table := compile(s, quiet)
		for _, host := range []string{"worker-0.localhost", "0.example.com", "a.z0.example.com"} {
			b.Run(fmt.Sprintf("%d/%s", n, host), func(b *testing.B) {
				for b.Loop() {
					if _, ok := table.find("http", canonical(host), "/api/x"); !ok {
						b.Fatal("not found")
					}
				}
			})
		}
	}
}

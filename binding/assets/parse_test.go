package assets

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
)

func TestRedirectsFile(t *testing.T) {
	long := "/" + strings.Repeat("x", MaxLineLength)
	for _, c := range []struct {
		text    string
		warning string // empty: the line is good
	}{
		{"/a /b", ""},
		{"  /a\t/b 301  # because", ""},
		{"a /b", ""},
		{"/a /b#part", ""},
		{"/a https://example.org:8443/b?c=d", ""},
		{"/a/* /b/:splat 200", ""},
		{"/a", "_redirects:1: expected 2 or 3 words (from, to and perhaps a status), got 1"},
		{"/a /b 301 x", "_redirects:1: expected 2 or 3 words (from, to and perhaps a status), got 4"},
		{"/a /b 404", "_redirects:1: valid status codes are 200, 301, 302 (default), 303, 307 and 308; got 404"},
		{"/a /b x", "_redirects:1: valid status codes are 200, 301, 302 (default), 303, 307 and 308; got x"},
		{"https://a.com/a /b", "_redirects:1: only relative URLs are allowed; skipping absolute URL https://a.com/a"},
		{"/a http://b.com", "_redirects:1: URLs should either be relative (begin with a forward-slash) or use HTTPS (begin with https://); got http://b.com"},
		{"/a https://b.com 200", "_redirects:1: proxy (200) redirects can only point to relative paths; got https://b.com/"},
		{"/a /b\n\n/a /c", "_redirects:3: there is already a rule for path /a; the line is ignored"},
		{"/* /index.html", "_redirects:1: the rule would redirect for ever, since /index and .html are stripped and lead back to it; it is ignored"},
		{"/ /index", "_redirects:1: the rule would redirect for ever, since /index and .html are stripped and lead back to it; it is ignored"},
		{"/:a/:a /b", "_redirects:1: placeholder :a is there twice; skipping /:a/:a"},
		{long + " /b", "_redirects:1: the line exceeds the maximum length of 2000 characters and is ignored"},
	} {
		_, warnings := parseRedirects(c.text, true)
		if got := strings.Join(warnings, "\n"); got != c.warning {
			t.Errorf("%.50q: %q, want %q", c.text, got, c.warning)
		}
	}
}

func TestHeadersFile(t *testing.T) {
	for _, c := range []struct{ text, warning string }{
		{"# comment\n/a\n  X-A: b: c\n  ! Etag", ""},
		{"https://example.com/*\n X-A: b", ""},
		{"X-A: b", "_headers:1: expected a path beginning with a forward-slash before the headers, got X-A: b"},
		{"/a", "_headers:1: no headers specified for /a"},
		{"/a\n/b\n X: y", "_headers:1: no headers specified for /a"},
		{"/a\n X: y\n nonsense", "_headers:3: expected a header (name: value), got nonsense"},
		{"/a\n X: y\n : v", "_headers:3: no header name specified"},
		{"/a\n X: y\n Z:", "_headers:3: no header value specified for Z"},
		{"/a\n X: y\n Bad Name: v", `_headers:3: "Bad Name: v" is not a valid header`},
		{"/a\n X: y\n Z: a\x00b", `_headers:3: "Z: a\x00b" is not a valid header`},
		{"/a\n X: y\n Content-Length: 5", "_headers:3: header Content-Length cannot be set"},
		{"/a\n X: y\n/a\n X: z", "_headers:3: this rule replaces an earlier one for path /a"},
		{"https://example.com:80/\n X: y", "_headers:1: specifying ports is not supported; skipping absolute URL https://example.com:80/"},
		{"/*/*\n X: y\n/b\n X: z", "_headers:1: placeholder :splat is there twice; skipping /*/*"},
	} {
		_, warnings := parseHeaders(c.text)
		if got := strings.Join(warnings, "\n"); got != c.warning {
			t.Errorf("%q: %q, want %q", c.text, got, c.warning)
		}
	}
}

func TestLimits(t *testing.T) {
	var static, dynamic, headers strings.Builder
	for i := range MaxStaticRedirects + 1 {
		fmt.Fprintf(&static, "/s%d /t\n", i)
	}
	for i := range MaxDynamicRedirects + 1 {
		fmt.Fprintf(&dynamic, "/d%d/* /t\n", i)
	}
	for i := range MaxHeaderRules + 1 {
		fmt.Fprintf(&headers, "/h%d\n X: y\n", i)
	}
	list, warnings := parseRedirects(static.String()+dynamic.String(), true)
	if len(list.static) != MaxStaticRedirects || len(list.dynamic) != MaxDynamicRedirects || len(warnings) != 2 {
		t.Errorf("%d static, %d dynamic, %q", len(list.static), len(list.dynamic), warnings)
	}
	rules, warnings := parseHeaders(headers.String())
	if len(rules) != MaxHeaderRules || len(warnings) != 1 {
		t.Errorf("%d rules, %q", len(rules), warnings)
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		a    config.Assets
		want string // empty: accepted
	}{
		{config.Assets{}, ""},
		{config.Assets{RunWorkerFirstPaths: []string{"/api/*", "!/api/docs/*"}}, ""},
		{config.Assets{HTMLHandling: "maybe"}, "assets.html_handling is \"maybe\"; it must be one of auto-trailing-slash"},
		{config.Assets{NotFoundHandling: "spa"}, "assets.not_found_handling is \"spa\"; it must be one of none"},
		{config.Assets{BasePath: "https://example.com/"}, "assets.base_path is"},
		{config.Assets{RunWorkerFirstPaths: []string{"api"}}, `"api": rules must start with / or !/`},
		{config.Assets{RunWorkerFirstPaths: []string{"!api"}}, `"!api": rules must start with / or !/`},
		{config.Assets{RunWorkerFirstPaths: []string{"!/a"}}, "only negative rules"},
		{config.Assets{RunWorkerFirstPaths: []string{"/a", "/a"}}, `"/a": the rule is there twice`},
		{config.Assets{RunWorkerFirstPaths: []string{"/a/*", "/a/b"}}, `"/a/b": rule "/a/*" makes it redundant`},
		{config.Assets{RunWorkerFirstPaths: []string{"/" + strings.Repeat("a", 100)}}, "at most 100 characters"},
		{config.Assets{RunWorkerFirstPaths: make([]string, 101)}, "has 101 rules; the limit is 100"},
	} {
		_, err := New(&config.Version{Assets: &c.a})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.a, err, c.want)
		}
	}
}

func TestIgnore(t *testing.T) {
	rules := parseIgnore("# comment\n\n*.map\n/only-root.txt\nnode_modules/\n!node_modules/kept.txt\nsub/dir/*.css\n**/deep/x\na/**/z\nb/**\n!b/never\n*.log\n!keep.log\nq?.txt\nr[!0-9].txt\n\\#hash\nlogs/\r\n")
	for name, want := range map[string]bool{
		"app.js.map": true, "x/app.js.map": true, "app.js": false,
		"only-root.txt": true, "x/only-root.txt": false,
		"node_modules/a/b.js": true, "x/node_modules/b": true, "node_modules": false, "node_modules/kept.txt": true,
		"sub/dir/a.css": true, "sub/dir/e/a.css": false, "x/sub/dir/a.css": false,
		"deep/x": true, "1/2/deep/x": true, "a/z": true, "a/1/2/z": true, "a/y": false,
		"b/c": true, "b/c/d": true, "a.log": true, "keep.log": false, "x/keep.log": false,
		"q1.txt": true, "q.txt": false, "ra.txt": true, "r1.txt": false, "#hash": true, "logs/x": true,
	} {
		if got := rules.ignored(name); got != want {
			t.Errorf("%s: ignored is %v", name, got)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("/*\n  X-A: b\n  ! Etag\nhttps://:sub.example.com/*\n  X-B: :sub :splat\n")
	f.Add("/a\n:\n! x\n\xff: \xff\n//\n*\n")
	f.Fuzz(func(t *testing.T, text string) {
		rules, _ := parseHeaders(text)
		if len(rules) > MaxHeaderRules {
			t.Fatalf("%d rules", len(rules))
		}
		header := http.Header{}
		applyHeaders(rules, httptest.NewRequest("GET", "https://a.example.com/a/b", nil), "/a/b", header)
		for name, values := range header {
			if !isToken(name) || strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
				t.Fatalf("header %q: %q", name, values)
			}
		}
	})
}

func FuzzRedirects(f *testing.F) {
	f.Add("/a /b 301\n/c/* https://example.com/:splat\n/d/:id /e?x=:id#f 200\n", "/c/x")
	f.Add("/* /:splat\n", "//evil.com")
	f.Add("/:a/* /:splat:a", "/x//y")
	f.Fuzz(func(t *testing.T, text, p string) {
		list, _ := parseRedirects(text, true)
		if len(list.static) > MaxStaticRedirects || len(list.dynamic) > MaxDynamicRedirects {
			t.Fatal("too many rules")
		}
		r := httptest.NewRequest("GET", "https://example.com/", nil)
		if rule, to, ok := list.match(normalizePath(p)); ok {
			if got := location(r, to); len(rule.pattern.names) > 0 && strings.HasPrefix(rule.to, "/") && strings.HasPrefix(got, "//") {
				t.Fatalf("%q becomes a redirect to another host: %s", to, got)
			}
		}
	})
}

// everything is a set of files in which each valid path exists.
type everything struct{ config.AssetFiles }

func (everything) Lookup(p string) (config.AssetFile, bool) {
	return config.AssetFile{Path: p, ETag: p}, true
}

// FuzzPath: whatever the path, what is looked up is clean enough for a file
// system, a redirect is a path on this host, and following it ends.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"/", "//evil.com", "/..%2f../etc/passwd", "/%2e%2e/x", "/a/./../b\\c", "/%5c%5cevil", "/%", "/\xff%ff", "/index/index.html"} {
		f.Add(p)
	}
	h, err := New(&config.Version{Assets: &config.Assets{HTMLHandling: "none", Files: everything{}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p string) {
		n := normalizePath(p)
		if again := normalizePath(n); again != n {
			t.Fatalf("normalizing twice: %q, %q", n, again)
		}
		if strings.Contains(n+"/", "/../") || n[0] != '/' {
			t.Fatalf("not normal: %q", n)
		}
		a := h.resolve(httptest.NewRequest("GET", "/", nil), n, none)
		if a.location == "" {
			return
		}
		if strings.HasPrefix(a.location, "//") || a.location[0] != '/' {
			t.Fatalf("%q redirects away: %q", p, a.location)
		}
		if b := h.resolve(httptest.NewRequest("GET", "/", nil), a.location, none); b.status != http.StatusOK {
			t.Fatalf("%q: %q redirects again: %q", p, a.location, b.location)
		}
	})
}

func FuzzIgnore(f *testing.F) {
	f.Add("*.map\n!a/b\n[a-z]?\\*\n**/x/**\n", "a/b.map")
	f.Add("[z-a]\n[]\n\\\n", "x")
	f.Fuzz(func(t *testing.T, text, name string) {
		parseIgnore(text).ignored(path.Clean(name))
	})
}

func TestContentType(t *testing.T) {
	got := map[string]string{}
	for _, name := range []string{"a.html", "a.HTML", "a.js", "a.json", "a.svg", "a.woff2", "a.wasm", "a.css", "a.txt", "a", "a.unknown", ".html"} {
		got[name] = ContentType(name)
	}
	want := map[string]string{
		"a.html": "text/html; charset=utf-8", "a.HTML": "text/html; charset=utf-8", "a.js": "text/javascript; charset=utf-8",
		"a.json": "application/json", "a.svg": "image/svg+xml", "a.woff2": "font/woff2", "a.wasm": "application/wasm",
		"a.css": "text/css; charset=utf-8", "a.txt": "text/plain; charset=utf-8", "a": "", "a.unknown": "", ".html": "text/html; charset=utf-8",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

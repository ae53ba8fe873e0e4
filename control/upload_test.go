package control

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/config"
)

func TestParseUpload(t *testing.T) {
	for _, c := range []struct {
		name  string
		parts []string
		want  string // names and types of the modules, or the error
	}{
		{"main module first, source maps left out", []string{
			"metadata json {\"main_module\":\"./src/index.js\"}", "b.wasm application/wasm x", "./src/index.js.map application/source-map {}",
			"./src/index.js application/javascript+module x", "c.txt text/plain x",
		}, "./src/index.js:application/javascript+module b.wasm:application/wasm c.txt:text/plain"},
		{"parts in any order", []string{"index.js application/javascript+module x", `metadata json {"main_module":"index.js"}`}, "index.js:application/javascript+module"},
		{"types by name when none is given", []string{`metadata json {"main_module":"a.mjs"}`, "a.mjs application/x-unknown x", "b.py text/x-python x", "c application/x-unknown x"},
			"a.mjs:application/javascript+module b.py:text/x-python c:application/octet-stream"},
		{"service worker", []string{`metadata json {"body_part":"script"}`, "script application/javascript x"}, "script:application/javascript"},
		{"assets only", []string{`metadata json {"assets":{"jwt":"x"}}`}, ""},
		{"no metadata", []string{"index.js application/javascript+module x"}, "no metadata part"},
		{"metadata is not JSON", []string{"metadata json {"}, "metadata part is not valid"},
		{"no main module", []string{`metadata json {}`, "index.js application/javascript+module x"}, "must name the main_module"},
		{"two main modules", []string{`metadata json {"main_module":"a","body_part":"b"}`, "a text/plain x", "b text/plain x"}, "both a main_module and a body_part"},
		{"the same module twice", []string{`metadata json {"main_module":"a"}`, "a text/plain x", "a text/plain y"}, "uploaded twice"},
		{"a module outside", []string{`metadata json {"main_module":"../a"}`, "../a text/plain x"}, "must not begin with / or hold .."},
		{"a module further outside", []string{`metadata json {"main_module":"a/../../b"}`, "a/../../b text/plain x"}, "must not begin with / or hold .."},
		{"an absolute module", []string{`metadata json {"main_module":"/etc/passwd"}`, "/etc/passwd text/plain x"}, "must not begin with /"},
		{"a module with dots", []string{`metadata json {"main_module":"./a..b"}`, "./a..b text/plain x"}, "./a..b:text/plain"},
		{"a module of ours", []string{`metadata json {"main_module":"a"}`, "a text/plain x", "selvage:invocation application/javascript+module x"}, "are the runtime's own"},
		{"a module of the runtime's", []string{`metadata json {"main_module":"./Node-Internal:process"}`, "./Node-Internal:process text/plain x"}, "are the runtime's own"},
		{"a module with a long name", []string{`metadata json {"main_module":"a"}`, strings.Repeat("a", 1025) + " text/plain x"}, "at most 1024 bytes"},
		{"a binding without a name", []string{`metadata json {"main_module":"a","bindings":[{"type":"json"}]}`, "a text/plain x"}, "must have a name and a type"},
		{"many cells", []string{`metadata json {"main_module":"a","limits":{"cells":1025}}`, "a text/plain x"}, "limits.cells must be between 0 and 1024"},
		{"a limit", []string{`metadata json {"main_module":"a","limits":{"cpu_ms":-1}}`, "a text/plain x"}, "cpu_ms must be between"},
	} {
		typ, body := form(t, c.parts)
		u, err := parseUpload(typ, strings.NewReader(body))
		var got []string
		if err == nil {
			for _, m := range u.modules {
				got = append(got, m.Name+":"+string(m.Type))
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s: got %s, want %s", c.name, s, c.want)
			}
		} else if c.want == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %s", c.name, err, c.want)
		}
	}
	file := strings.ReplaceAll("--x\nContent-Disposition: form-data; name=\"metadata\"; filename=\"meta.json\"\nContent-Type: application/json\n\n"+
		"{\"main_module\":\"metadata\"}\n--x\nContent-Disposition: form-data; name=\"metadata\"; filename=\"metadata\"\nContent-Type: application/json\n\n1\n--x--\n", "\n", "\r\n")
	if u, err := parseUpload("multipart/form-data; boundary=x", strings.NewReader(file)); err != nil || u.MainModule != "metadata" || len(u.modules) != 1 {
		t.Errorf("metadata from a file, a module of that name: %v", err)
	}
	if _, err := parseUpload("application/json", strings.NewReader("{}")); err == nil || !strings.Contains(err.Error(), "multipart/form-data") {
		t.Errorf("a body that is no form: %v", err)
	}
}

func TestCompatibilityDates(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for date, ok := range map[string]bool{
		"": true, "2026-03-01": true, "2026-03-02": true /* already tomorrow in Kiribati */, "2026-03-03": false,
		"2026-02-30": false, "2026-3-1": false, "today": false,
	} {
		if err := checkDate(date, now); (err == nil) != ok {
			t.Errorf("%q: %v", date, err)
		}
	}
}

func FuzzParseUpload(f *testing.F) {
	typ, body := form(f, []string{`metadata json {"main_module":"./a.js","bindings":[{"name":"X","type":"inherit"}]}`, "./a.js application/javascript+module x", "b.wasm application/wasm \x00asm"})
	f.Add(typ, []byte(body))
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\n\r\n\r\n--x--"))
	f.Add("application/json;;", []byte("{}"))
	f.Fuzz(func(t *testing.T, typ string, body []byte) {
		u, err := parseUpload(typ, bytes.NewReader(body))
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) || e.Status >= 500 {
				t.Errorf("not the client's fault: %v", err)
			}
			return
		}
		if main := u.MainModule + u.BodyPart; main != "" && u.modules[0].Name != main {
			t.Errorf("the first module is %q, not %q", u.modules[0].Name, main)
		}
		for _, m := range u.modules {
			if m.Type == config.SourceMap || m.Name == "" {
				t.Errorf("module %q has type %s", m.Name, m.Type)
			}
		}
	})
}

func TestRoutePatterns(t *testing.T) {
	for _, c := range []struct{ pattern, host, err string }{
		{"example.com/*", "example.com", ""},
		{"example.com", "example.com", ""},
		{"https://Shop.example.com/a/*", "shop.example.com", ""},
		{"*.example.com/*", "example.com", ""},
		{"*example.com/*", "example.com", ""},
		{"*/*", "", ""},
		{"ftp://example.com/*", "", "scheme must be"},
		{"example.com/*/a", "", "asterisk"},
		{"a.*.com/*", "", "host is not valid"},
		{"example.com/?q=1", "", "query"},
		{"/path", "", "host is not valid"},
		{"", "", "host is not valid"},
		{"exa mple.com/*", "", "host is not valid"},
	} {
		host, err := checkPattern(c.pattern)
		if host != c.host || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: got %q, %v; want %q, %q", c.pattern, host, err, c.host, c.err)
		}
	}
}

func FuzzRoutePattern(f *testing.F) {
	for _, p := range []string{"example.com/*", "*.example.com/a*", "https://x/", "*", "//", "a/**"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		host, err := checkPattern(pattern)
		if err == nil && host != "" && checkHostname(host) != nil {
			t.Errorf("%q is accepted with the host %q", pattern, host)
		}
	})
}

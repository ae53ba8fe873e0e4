package edge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/hop/target"
)

var (
	cloudflare = config.Normalization{}
	rfc3986    = config.Normalization{Type: config.NormalizeRFC3986}
	nothing    = config.Normalization{Scope: config.NormalizeNothing}
)

func TestPathsAreNormalized(t *testing.T) {
	for _, c := range []struct{ path, cloudflare, rfc3986, nothing string }{
		// The examples of Cloudflare's documentation.
		{"/hello", "/hello", "/hello", "/hello"},
		{"/%68ello", "/hello", "/hello", "/%68ello"},
		{`/%68ello//pa\th`, "/hello/pa/th", "/hello//pa%5Cth", "/%68ello//pa/th"},
		{"/hello//../path", "/path", "/hello/path", "/hello/path"},
		{`/hello/\../path`, "/path", "/hello/%5C../path", "/hello/path"},

		{"/", "/", "/", "/"},
		{"/a/b", "/a/b", "/a/b", "/a/b"},
		{"/a//b", "/a/b", "/a//b", "/a//b"},
		{"//admin", "/admin", "//admin", "//admin"},
		{`/\admin`, "/admin", "/%5Cadmin", "//admin"},
		{"/x/../admin", "/admin", "/admin", "/admin"},
		{"/x/%2e%2E/admin", "/admin", "/admin", "/admin"},
		{"/x/.%2e/admin/", "/admin/", "/admin/", "/admin/"},
		{"/./a", "/a", "/a", "/a"},
		{"/a/.", "/a/", "/a/", "/a/"},
		{"/a/..", "/", "/", "/"},
		{"/..", "/", "/", "/"},
		{"/../../a", "/a", "/a", "/a"},
		{"/%61dmin", "/admin", "/admin", "/%61dmin"},
		{"/a%2fb%5cc", "/a%2Fb%5Cc", "/a%2Fb%5Cc", "/a%2fb%5cc"},
		{`/x\..\admin`, "/admin", "/x%5C..%5Cadmin", "/admin"},
		{"/.well-known/x", "/.well-known/x", "/.well-known/x", "/.well-known/x"},
		{"/a...b", "/a...b", "/a...b", "/a...b"},
		{"/caf\xc3\xa9", "/caf%C3%A9", "/caf%C3%A9", "/caf%C3%A9"},
		{"/\xff", "/%FF", "/%FF", "/%FF"},
		{`/a<b>"|^{}` + "`", "/a%3Cb%3E%22%7C%5E%7B%7D%60", "/a%3Cb%3E%22%7C%5E%7B%7D%60", "/a%3Cb%3E%22|%5E%7B%7D%60"},
		{"/:[]@!$&'()*+,;=-._~", "/:[]@!$&'()*+,;=-._~", "/:[]@!$&'()*+,;=-._~", "/:[]@!$&'()*+,;=-._~"},
		// A malformed escape stays; what is decoded must not complete it.
		{"/sale-100%", "/sale-100%", "/sale-100%", "/sale-100%"},
		{"/%zz%61", "/%zza", "/%zza", "/%zz%61"},
		{"/%E0%A4%A", "/%E0%A4%A", "/%E0%A4%A", "/%E0%A4%A"},
		{"/%%36%31dmin", "/admin", "/admin", "/%%36%31dmin"},
		{"/x/%%32e%%32e/admin", "/admin", "/admin", "/x/%%32e%%32e/admin"},
		{"/%2561dmin", "/%2561dmin", "/%2561dmin", "/%2561dmin"},
	} {
		for _, n := range []struct {
			config.Normalization
			want string
		}{{cloudflare, c.cloudflare}, {rfc3986, c.rfc3986}, {nothing, c.nothing}} {
			if got := normalPath(n.Normalization, c.path); got != n.want {
				t.Errorf("%s %v: %s, want %s", c.path, n.Normalization, got, n.want)
			}
		}
	}
}

// Everything that reads a target reads the same.
func TestTargetsAreNormalizedOnce(t *testing.T) {
	v := new(config.Value)
	v.Set(&config.Snapshot{
		Workers: map[string]*config.Worker{"site": {Name: "site"}, "admin": {Name: "admin"}},
		Zones:   map[string]config.Zone{"off.example.com": {Normalization: nothing}, "strict.example.com": {Normalization: rfc3986}},
		Routes: []config.Route{
			{Pattern: "*example.com/*", Worker: "site", Zone: "example.com"},
			{Pattern: "*example.com/admin*", Worker: "admin", Zone: "example.com"},
		},
	})
	var worker string
	var got *http.Request
	_, addr := start(t, Options{Source: v, Target: func(w http.ResponseWriter, r *http.Request, name, _ string) error {
		worker, got = name, r
		return nil
	}}, nil, nil)
	for _, c := range []struct{ host, target, worker, uri, path string }{
		{"example.com", "/", "site", "/", "/"},
		{"example.com", "//admin", "admin", "/admin", "/admin"},
		{"example.com", `/\admin`, "admin", "/admin", "/admin"},
		{"example.com", "/x/../admin", "admin", "/admin", "/admin"},
		{"example.com", "/%61dmin?x", "admin", "/admin?x", "/admin"},
		{"example.com", "http://example.com//admin/%", "admin", "/admin/%", "/admin/%"},
		{"example.com", "http://example.com?q", "site", "/?q", "/"},
		{"example.com", "/%zz?%zz", "site", "/%zz?%zz", "/%zz"},
		{"example.com", `/p?q=<b>"x"'|`, "site", "/p?q=%3Cb%3E%22x%22%27|", "/p"},
		{"example.com", "/a#b?c", "site", "/a", "/a"},
		{"example.com", "/a?b#c", "site", "/a?b", "/a"},
		{"example.com", "/a?", "site", "/a?", "/a"},
		{"example.com", "/a?x=/../b//c%41", "site", "/a?x=/../b//c%41", "/a"},
		{"example.com", "/.selvage-target?%2Fadmin", "site", "/.selvage-target?%2Fadmin", "/.selvage-target"},
		{"a.off.example.com", "//admin", "site", "//admin", "//admin"},
		{"off.example.com", "/%61dmin", "site", "/%61dmin", "/admin"},
		{"off.example.com", `/x\../admin`, "admin", "/admin", "/admin"},
		{"strict.example.com", "//admin", "site", "//admin", "//admin"},
	} {
		got = nil
		res, body := ask(t, addr, "GET "+c.target+" HTTP/1.1\r\nHost: "+c.host+"\r\n\r\n")
		if got == nil {
			t.Errorf("%s: %d %s", c.target, res.StatusCode, body)
			continue
		}
		if worker != c.worker || target.URI(got.URL) != c.uri || got.RequestURI != c.uri || got.URL.Path != c.path {
			t.Errorf("%s%s: Worker %s, URL %s, request line %s, path %s", c.host, c.target, worker, target.URI(got.URL), got.RequestURI, got.URL.Path)
		}
	}
}

// FuzzNormalPath: what is normalized stays as it is, holds nothing that the URL
// standard's parser would change, and no dot segment or doubled slash.
func FuzzNormalPath(f *testing.F) {
	for _, p := range []string{"/", "/a/../b", "/%2e%2e/%61", "/%%36%31", "/x/%%32e%%32e/y", `\\a\..`, "//a//", "/caf\xc3\xa9", "/%e", "/%%%%", "/%2%35%36%31"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if len(p) == 0 || p[0] != '/' {
			return
		}
		for _, n := range []config.Normalization{cloudflare, rfc3986, nothing} {
			got := normalPath(n, p)
			if again := normalPath(n, got); again != got {
				t.Fatalf("%v %q: %q, and then %q", n, p, got, again)
			}
			if standard := normalPath(nothing, got); standard != got {
				t.Fatalf("%v %q: %q, which new URL() would read as %q", n, p, got, standard)
			}
			if n == cloudflare && (strings.Contains(got, "//") || !strings.HasPrefix(got, "/")) {
				t.Fatalf("%q: %q", p, got)
			}
		}
	})
}

func BenchmarkNormalPath(b *testing.B) {
	for _, p := range []string{"/", "/images/cat-1.png", "/x//y/%61/../b"} {
		b.Run(p, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				normalPath(cloudflare, p)
			}
		})
	}
}

package target

import (
	"net/url"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for raw, want := range map[string]struct{ path, uri string }{
		"/":                   {"/", "/"},
		"/a%20b?c":            {"/a b", "/a%20b?c"},
		"/a?":                 {"/a", "/a?"},
		"/sale-100%":          {"/sale-100%", "/sale-100%"},
		"/%zz%61?%zz":         {"/%zza", "/%zz%61?%zz"},
		"/a%2Fb":              {"/a/b", "/a%2Fb"},
		"//a/%":               {"//a/%", "//a/%"},
		"http://a.example/%2": {"/%2", "/%2"},
		"http://a.example?q":  {"", "/?q"},
		"*":                   {"*", "*"},
	} {
		if u := Parse(raw); u.Path != want.path || URI(u) != want.uri {
			t.Errorf("%s: path %q, URI %q", raw, u.Path, URI(u))
		}
	}
}

// A path that was changed after it was parsed counts, not what was written.
func TestPathOfAChangedURL(t *testing.T) {
	u := Parse("/%zz")
	u.Path = "/other one"
	if got := Path(u); got != "/other%20one" {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"/", "/a%20b?c", "/%zz", "/%", "//x", "http://a/%e4?%", "/a b", "*", "/!'()*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u := Parse(s)
		uri := URI(u)
		if !printable(uri) || uri != "*" && !strings.HasPrefix(uri, "/") && !strings.HasPrefix(uri, "*?") {
			t.Fatalf("%q: %q", s, uri)
		}
		if again := Parse(uri); URI(again) != uri {
			t.Fatalf("%q: %q, and then %q", s, uri, URI(again))
		}
		// Where package url has no objection it reads the same.
		if std, err := url.ParseRequestURI(s); err == nil && strings.HasPrefix(s, "/") && printable(s) && (std.Path != u.Path || std.RawPath != u.RawPath || std.RawQuery != u.RawQuery) {
			t.Fatalf("%q: %+v, package url: %+v", s, u, std)
		}
	})
}

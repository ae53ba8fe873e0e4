package edge

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/hop/target"
	"github.com/selvage-edge/selvage/rules"
	"github.com/selvage-edge/selvage/telemetry"
)

// Whatever a rule makes of a URL, all who read it see the same path, which a
// Worker's new URL() leaves as it is.
func FuzzRewrite(f *testing.F) {
	for _, s := range []string{"/", "/a b", "//evil.example/..", "x", "/%2e%2e/%zz", "/\x00\r\n", `/\..\a`, "/?#"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest("GET", "/old?q", nil)
		Rewrite(r, path, query)
		uri := target.URI(r.URL)
		if !printable(uri) || !strings.HasPrefix(uri, "/") || strings.ContainsAny(uri, "#") {
			t.Fatalf("%q, %q: %q", path, query, uri)
		}
		again := target.Parse(uri)
		if got := target.Path(again); got != target.Path(r.URL) || normalPath(nothing, got) != got {
			t.Fatalf("%q: %q, then %q", path, target.Path(r.URL), got)
		}
		if r.RequestURI != "/old?q" {
			t.Fatal(r.RequestURI)
		}
	})
}

// A body that rules have looked at is still whole, and so is its failure.
func TestBeginning(t *testing.T) {
	broke := errors.New("broke")
	for _, c := range []struct {
		name      string
		body      io.Reader
		length    int64
		size      int64
		truncated bool
		want      int
		err       error
	}{
		{"short", strings.NewReader("abc"), 3, 3, false, 3, nil},
		{"of unknown length", strings.NewReader("abc"), -1, 3, false, 3, nil},
		{"as long as can be", strings.NewReader(strings.Repeat("x", rules.MaxBody)), rules.MaxBody, rules.MaxBody, false, rules.MaxBody, nil},
		{"longer", strings.NewReader(strings.Repeat("x", rules.MaxBody+1)), rules.MaxBody + 1, rules.MaxBody + 1, true, rules.MaxBody + 1, nil},
		{"broken", io.MultiReader(strings.NewReader("abc"), broken{broke}), 10, 10, true, 3, broke},
	} {
		r := httptest.NewRequest("POST", "/", c.body)
		r.ContentLength = c.length
		r = r.WithContext(telemetry.WithRequest(r.Context(), &telemetry.Request{}))
		f := Facts(r, true)
		b := f.Body()
		Forget(f)
		if b.Size != c.size || b.Truncated != c.truncated || len(b.Data) != min(c.want, rules.MaxBody) {
			t.Errorf("%s: %d bytes of %d, truncated %v", c.name, len(b.Data), b.Size, b.Truncated)
		}
		whole, err := io.ReadAll(r.Body)
		if len(whole) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: then %d bytes, %v", c.name, len(whole), err)
		}
	}
	r := httptest.NewRequest("GET", "/", http.NoBody)
	r = r.WithContext(telemetry.WithRequest(r.Context(), &telemetry.Request{}))
	if f := Facts(r, true); f.Body != nil {
		t.Error("a request without a body has one")
	}
}

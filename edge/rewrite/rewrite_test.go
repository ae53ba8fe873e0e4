package rewrite

import (
	"testing"

	"github.com/selvage-edge/selvage/internal/edgetest"
	"github.com/selvage-edge/selvage/ruleset"
)

func TestRewrite(t *testing.T) {
	stage := &Stage{}
	rule := func(expression string, r ruleset.RewriteRule) ruleset.RewriteRule {
		r.Expression = expression
		return r
	}
	none, lang := "", "lang=de"
	stage.Rules.Set(edgetest.Compile(t, ruleset.Rules{URLRewrites: []ruleset.RewriteRule{
		rule(`http.request.uri.path eq "/old"`, ruleset.RewriteRule{Path: "/new"}),
		rule(`http.request.uri.path eq "/new"`, ruleset.RewriteRule{Query: &lang}), // sees the rule above
		rule(`raw.http.request.uri.path eq "/old" and raw.http.request.uri.query eq "twice"`, ruleset.RewriteRule{PathExpression: `concat(http.request.uri.path, "/", raw.http.request.uri.query)`}),
		rule(`starts_with(http.request.uri.path, "/blog/")`, ruleset.RewriteRule{PathExpression: `regex_replace(http.request.uri.path, r"^/blog/(\d+)/", "/archive/${1}/")`}),
		rule(`http.request.uri.path eq "/clean"`, ruleset.RewriteRule{Query: &none}),
		rule(`http.request.uri.path eq "/args"`, ruleset.RewriteRule{QueryExpression: `remove_query_args(http.request.uri.query, "utm")`}),
		rule(`http.request.uri.path eq "/free"`, ruleset.RewriteRule{PathExpression: `url_decode(http.request.uri.args["p"][0])`}),
	}}).Rewrites)
	s := edgetest.Start(t, stage)
	for url, want := range map[string]string{
		"http://a.example/x?y":                   "/x?y",
		"http://a.example/old?a=1":               "/new?lang=de",
		"http://a.example/old?twice":             "/new/twice?lang=de",
		"http://a.example/blog/2024/a%20b?c":     "/archive/2024/a%20b?c",
		"http://a.example/clean?a=1":             "/clean",
		"http://a.example/args?a=1&utm=x&b=2":    "/args?a=1&b=2",
		"http://a.example/free?p=/a/../b%20c":    "/b%20c?p=/a/../b%20c",
		"http://a.example/free?p=no-slash":       "/no-slash?p=no-slash",
		"http://a.example/free?p=/q%3Fr%23s":     "/q%3Fr%23s?p=/q%3Fr%23s",
		"http://a.example/free?p=/a%0d%0aX:%20b": "/a%0D%0AX:%20b?p=/a%0d%0aX:%20b",
		"http://a.example/free":                  "/free", // nothing was made
	} {
		if got := s.Asked(url).URI; got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

package redirect

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/edgetest"
	"github.com/selvage-edge/selvage/ruleset"
)

func TestSingle(t *testing.T) {
	var log bytes.Buffer
	stage := &Single{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	rule := func(expression, to, made string, status int, query bool) ruleset.RedirectRule {
		return ruleset.RedirectRule{Rule: ruleset.Rule{Expression: expression}, To: to, ToExpression: made, Status: status, PreserveQueryString: query}
	}
	stage.Rules.Set(edgetest.Compile(t, ruleset.Rules{Redirects: []ruleset.RedirectRule{
		rule(`http.host eq "old.example.com"`, "", `concat("https://new.example.com", http.request.uri.path)`, 308, true),
		rule(`http.request.uri.path eq "/contact"`, "/contact-us?a=1#top", "", 0, true),
		rule(`http.request.full_uri wildcard "http://*.example.org/files/*"`, "", `wildcard_replace(http.request.full_uri, "http://*.example.org/files/*", "https://example.org/${1}/${2}")`, 302, false),
		rule(`http.request.uri.path eq "/to"`, "", `url_decode(http.request.uri.args["u"][0])`, 307, false),
		rule(`http.request.uri.path in {"/to" "/late"}`, "/fallback", "", 303, false),
	}}).Redirects)
	s := edgetest.Start(t, stage)
	for _, c := range []struct {
		url, to string
		status  int
	}{
		{"http://a.example/", "", 200},
		{"http://old.example.com/a%20b?x=1", "https://new.example.com/a%20b?x=1", 308},
		{"http://OLD.example.com:99/", "https://new.example.com/", 308},
		{"http://a.example/contact", "/contact-us?a=1#top", 301},
		{"http://a.example/contact?b=2", "/contact-us?a=1&b=2#top", 301},
		{"http://cdn.example.org/files/a/b?c", "https://example.org/cdn/a/b?c", 302},
		{"http://a.example/late", "/fallback", 303},
		{"http://a.example/to?u=https%3A%2F%2Fb.example%2F", "https://b.example/", 307},
		// What is no address does not reach a header.
		{"http://a.example/to?u=%0d%0aSet-Cookie:%20a=b", "/fallback", 303},
		{"http://a.example/to?u=javascript:alert(1)", "/fallback", 303},
		{"http://a.example/to?u=%2F%2Fevil.example", "/fallback", 303},
		{"http://a.example/to?u=%2F%5Cevil.example", "/fallback", 303},
		{"http://a.example/to", "/fallback", 303},
	} {
		res, _ := s.Do("GET", c.url, "")
		if got := res.Header.Get("Location"); res.StatusCode != c.status || got != c.to {
			t.Errorf("%s: %d %q", c.url, res.StatusCode, got)
		}
	}
	if n := strings.Count(log.String(), "redirect rule passed over"); n != 5 {
		t.Errorf("%d rules were told to make no address:\n%s", n, log.String())
	}
}

func TestBulk(t *testing.T) {
	stage := &Bulk{}
	list, err := ruleset.ReadBulk(strings.NewReader("# moved\nexample.com/old,https://example.com/new\n\"example.com/files\",https://files.example.com/,302,TRUE,true,TRUE,FALSE\n"))
	if err != nil {
		t.Fatal(err)
	}
	stage.Set(edgetest.Compile(t, ruleset.Rules{BulkRedirects: list}).Bulk)
	s := edgetest.Start(t, stage)
	for _, c := range []struct {
		url, to string
		status  int
	}{
		{"http://example.com/old", "https://example.com/new", 301},
		{"http://Example.com.:8080/old/?q", "https://example.com/new", 301},
		{"http://example.com/old/more", "", 200},
		{"http://a.b.example.com/files/x/y?q=1", "https://files.example.com/?q=1", 302},
		{"http://example.net/old", "", 200},
	} {
		res, _ := s.Do("GET", c.url, "")
		if got := res.Header.Get("Location"); res.StatusCode != c.status || got != c.to {
			t.Errorf("%s: %d %q", c.url, res.StatusCode, got)
		}
	}
	stage.Set(nil)
	if res, _ := s.Do("GET", "http://example.com/old", ""); res.StatusCode != 200 {
		t.Error("a redirect that was taken away redirects")
	}
}

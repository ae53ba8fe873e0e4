package ruleset

import (
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/rules"
)

// What is wrong is told with its key.
func TestProblems(t *testing.T) {
	all := Rule{Expression: "true"}
	query := "a b"
	set := func(name, value string) map[string]string { return map[string]string{name: value} }
	for _, c := range []struct {
		rules Rules
		want  string
	}{
		{Rules{Firewall: []FirewallRule{{Rule: all, Action: "block"}, {Rule: Rule{Expression: `http.hots eq "a"`}, Action: "block"}}}, `firewall[2].expression: 1:1: there is no field "http.hots"`},
		{Rules{Firewall: []FirewallRule{{Action: "block"}}}, `firewall[1]: expression is missing; "true" is every request`},
		{Rules{Firewall: []FirewallRule{{Rule: all}}}, `firewall[1]: action is missing: block, skip or log`},
		{Rules{Firewall: []FirewallRule{{Rule: all, Action: "deny"}}}, `firewall[1].action: "deny" is not one of block, skip, log`},
		{Rules{Firewall: []FirewallRule{{Rule: all, Action: "managed_challenge"}}}, `firewall[1].action: challenges are not there yet; use block, skip or log`},
		{Rules{Firewall: []FirewallRule{{Rule: all, Action: "log", Response: &Response{}}}}, `firewall[1].response: only block answers`},
		{Rules{Firewall: []FirewallRule{{Rule: all, Action: "block", Response: &Response{Status: 200}}}}, `firewall[1].response: status: 200 is not from 400 to 499`},
		{Rules{Firewall: []FirewallRule{{Rule: all, Action: "block", Response: &Response{ContentType: "image/png"}}}}, `firewall[1].response: content_type: "image/png"`},
		{Rules{Firewall: []FirewallRule{{Rule: all, Action: "block", Response: &Response{Content: strings.Repeat("x", 2049)}}}}, `firewall[1].response: content: 2049 bytes are more than 2048`},
		{Rules{Firewall: []FirewallRule{{Rule: Rule{Expression: "ip.src in $none"}, Action: "block"}}}, `firewall[1].expression: 1:11: there is no list "none"`},
		{Rules{URLRewrites: []RewriteRule{{Rule: all}}}, `url_rewrites[1]: nothing is rewritten`},
		{Rules{URLRewrites: []RewriteRule{{Rule: all, Path: "x"}}}, `url_rewrites[1].path: "x" is not a path`},
		{Rules{URLRewrites: []RewriteRule{{Rule: all, Path: "/x", PathExpression: "http.host"}}}, `url_rewrites[1].path: use either path or path_expression`},
		{Rules{URLRewrites: []RewriteRule{{Rule: all, PathExpression: "ip.src"}}}, `url_rewrites[1].path_expression: 1:1: the value must be a string`},
		{Rules{URLRewrites: []RewriteRule{{Rule: all, Query: &query}}}, `url_rewrites[1].query: "a b" has a ?, # or space`},
		{Rules{URLRewrites: []RewriteRule{{Rule: all, Query: &query, QueryExpression: "http.host"}}}, `url_rewrites[1].query: use either`},
		{Rules{Redirects: []RedirectRule{{Rule: all}}}, `redirects[1]: to or to_expression is missing`},
		{Rules{Redirects: []RedirectRule{{Rule: all, To: "//evil.example"}}}, `redirects[1].to: "//evil.example" is neither`},
		{Rules{Redirects: []RedirectRule{{Rule: all, To: "ftp://a"}}}, `redirects[1].to: "ftp://a" is neither`},
		{Rules{Redirects: []RedirectRule{{Rule: all, To: "/x", Status: 200}}}, `redirects[1].status: 200 is not one of 301`},
		{Rules{BulkRedirects: []BulkRedirect{{To: "https://a/"}}}, `bulk_redirects[1]: from is missing`},
		{Rules{BulkRedirects: []BulkRedirect{{From: "a/x"}}}, `bulk_redirects[1]: to is missing`},
		{Rules{BulkRedirects: []BulkRedirect{{From: "a/x", To: "/y"}}}, `bulk_redirects[1].to: "/y" is not absolute`},
		{Rules{BulkRedirects: []BulkRedirect{{From: "a:80/x", To: "https://b/"}}}, `bulk_redirects[1].from: "a:80/x" is not a host with a path`},
		{Rules{BulkRedirects: []BulkRedirect{{From: "a/x?y", To: "https://b/"}}}, `bulk_redirects[1].from: "a/x?y" is not`},
		{Rules{BulkRedirects: []BulkRedirect{{From: "a/x", To: "https://b/"}, {From: "A/x/", To: "https://b/"}}}, `bulk_redirects[2].from: "A/x/" has a redirect already`},
		{Rules{RequestHeaders: []HeaderRule{{Rule: all}}}, `request_headers[1]: nothing is changed`},
		{Rules{RequestHeaders: []HeaderRule{{Rule: all, Set: set("Cf-Ray", "x")}}}, `request_headers[1].set: Cf-Ray: headers whose names begin with cf-`},
		{Rules{RequestHeaders: []HeaderRule{{Rule: all, Set: set("x-real-ip", "x")}}}, `request_headers[1].set: x-real-ip says who the client is`},
		{Rules{RequestHeaders: []HeaderRule{{Rule: all, Set: set("Cookie", "x")}}}, `request_headers[1].set: Cookie can be removed, not set`},
		{Rules{RequestHeaders: []HeaderRule{{Rule: all, Set: set("Host", "x")}}}, `request_headers[1].set: Host belongs to the connection`},
		{Rules{RequestHeaders: []HeaderRule{{Rule: all, Set: set("a b", "x")}}}, `request_headers[1].set: "a b" is not the name of a header`},
		{Rules{RequestHeaders: []HeaderRule{{Rule: all, Set: set("a", "x\ny")}}}, `request_headers[1].set: a: the value has a control character`},
		{Rules{RequestHeaders: []HeaderRule{{Rule: all, Add: set("a", "x")}}}, `request_headers[1].add: headers of requests can be set and removed`},
		{Rules{RequestHeaders: []HeaderRule{{Rule: all, Set: set("a", "x"), Remove: []string{"A"}}}}, `request_headers[1].remove: A is changed twice`},
		{Rules{RequestHeaders: []HeaderRule{{Rule: all, SetExpression: set("a", "http.response.headers")}}}, `request_headers[1].set_expression: a: 1:1: the field http.response.headers can be used in`},
		{Rules{ResponseHeaders: []HeaderRule{{Rule: all, Set: set("Content-Encoding", "gzip")}}}, `response_headers[1].set: Content-Encoding is the edge's own`},
		{Rules{ResponseHeaders: []HeaderRule{{Rule: all, Remove: []string{"Server"}}}}, `response_headers[1].remove: Server is the edge's own`},
	} {
		s, problems := Compile(c.rules, func(string) *rules.List { return nil })
		if s != nil || len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), c.want) {
			t.Errorf("got  %v\nwant %s", problems, c.want)
		}
	}
}

// A rule that is turned off does nothing, but is checked.
func TestDisabled(t *testing.T) {
	off := false
	s, problems := Compile(Rules{Firewall: []FirewallRule{{Rule: Rule{Expression: "true", Enabled: &off}, Action: "block"}}}, nil)
	if len(problems) > 0 || len(s.Firewall) > 0 {
		t.Error(problems, s)
	}
	if _, problems = Compile(Rules{Firewall: []FirewallRule{{Rule: Rule{Expression: "tru", Enabled: &off}, Action: "block"}}}, nil); len(problems) != 1 {
		t.Error(problems)
	}
}

func TestBulkFind(t *testing.T) {
	no := false
	s, problems := Compile(Rules{BulkRedirects: []BulkRedirect{
		{From: "example.com/a", To: "https://to/exact"},
		{From: "https://example.com/a", To: "https://to/secure", Status: 302},
		{From: "example.com/tree/", To: "https://to/t/?x=1#f", SubpathMatching: true, PreserveQueryString: true},
		{From: "example.com/tree/deep", To: "https://to/deep", SubpathMatching: true, PreservePathSuffix: &no},
		{From: "example.org", To: "https://to/org", IncludeSubdomains: true},
		{From: "www.example.org", To: "https://to/www"},
		{From: "example.net/", To: "https://to", IncludeSubdomains: true, SubpathMatching: true},
	}}, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, c := range []struct{ scheme, host, path, query, to string }{
		{"http", "example.com", "/a", "", "https://to/exact"},
		{"http", "example.com", "/a/", "q", "https://to/exact"},
		{"https", "example.com", "/a", "", "https://to/secure"},
		{"http", "example.com", "/A", "", ""},
		{"http", "www.example.com", "/a", "", ""},
		{"http", "example.com", "/tree", "q=1", "https://to/t/?x=1&q=1#f"},
		{"http", "example.com", "/tree/b/c", "", "https://to/t/b/c?x=1#f"},
		{"http", "example.com", "/trees", "", ""},
		{"http", "example.com", "/tree/deep/er", "", "https://to/deep"},
		{"http", "example.org", "/", "", "https://to/org"},
		{"http", "a.b.example.org", "/", "", "https://to/org"},
		{"http", "www.example.org", "/", "", "https://to/www"},
		{"http", "example.org", "/x", "", ""},
		{"http", "a.example.net", "/x/y", "", "https://to/x/y"},
		{"http", "example.net", "/x", "", "https://to/x"},
		{"http", "", "/", "", ""},
		{"http", "example.net", "*", "", ""}, // OPTIONS *
	} {
		if to, _ := s.Bulk.Find(c.scheme, c.host, c.path, c.query); to != c.to {
			t.Errorf("%s://%s%s: %q, want %q", c.scheme, c.host, c.path, to, c.to)
		}
	}
}

func TestReadBulk(t *testing.T) {
	for text, want := range map[string]string{
		"a":                   "line 1: there are 1 fields; a redirect has from 2 to 7",
		"a,b\nc,d,x":          `line 2: "x" is not a status`,
		"a,b,,yes":            `line 1: "yes" is neither TRUE nor FALSE`,
		"a,b,301,,,,,":        "line 1: there are 8 fields",
		"a,\"b":               "parse error on line 1",
		"# none\n\n":          "",
		"a,b,301,TRUE,false,": "",
	} {
		_, err := ReadBulk(strings.NewReader(text))
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whatever is imported and asked for, there is an answer, and what a redirect
// leads to begins with its address.
func FuzzBulk(f *testing.F) {
	f.Add("example.com/a,https://b/x?y#z,302,TRUE,TRUE,TRUE,TRUE", "http", "www.example.com", "/a/b//c", "q")
	f.Add("http://a,https://b\na/%zz,https://c", "https", "a", "", "")
	f.Fuzz(func(t *testing.T, file, scheme, host, path, query string) {
		list, err := ReadBulk(strings.NewReader(file))
		if err != nil {
			return
		}
		s, problems := Compile(Rules{BulkRedirects: list}, nil)
		if len(problems) > 0 || s.Bulk == nil {
			return
		}
		to, status := s.Bulk.Find(scheme, host, path, query)
		if (status == 0) != (to == "") {
			t.Fatalf("%q, %d", to, status)
		}
		for _, r := range list {
			if base, _, _ := strings.Cut(strings.TrimRight(r.To, "/"), "?"); strings.HasPrefix(to, strings.TrimRight(strings.Split(base, "#")[0], "/")) {
				return
			}
		}
		if status != 0 {
			t.Fatalf("nobody asked for %q", to)
		}
	})
}

package rules

import (
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// sample is the request that most tests look at.
func sample() *Context {
	return &Context{
		Method: "GET", Scheme: "https", Host: "www.example.org", HostHeader: "www.example.org:8443", Version: "HTTP/2",
		Path: "/articles/Index.HTML", Query: "section=539061&expand=comments&section=2&x&=y", RawPath: "/articles/old", RawQuery: "a=1",
		Header: http.Header{
			"Accept": {"text/html", "application/json"}, "Accept-Language": {"fr-CH, fr;q=0.8, en;q=0.9, de;q=0.7, *;q=0.5"},
			"User-Agent": {"Mozilla/5.0"}, "Cookie": {"session=8521F6; app=a%20b", "%61pp=test"}, "Client-Id": {"MTIzYWJj"},
			"Content-Type": {"application/x-www-form-urlencoded"}, "X-Categories": {"groceries,,electronics"}, "X-Deep": {"%" + strings.Repeat("25", 34) + "41"}, "X-Json": {`{"a":[1,"b\n"]}`}, "X-Encoded": {"John%20Doe", "a+b", "%2520", "%u2601", "%ud83d%ude00", "%zz"},
			"Referer": {"https://developer.example.org/en-US/"}, "X-Forwarded-For": {"203.0.113.195", "70.41.3.18"},
		},
		ClientIP: netip.MustParseAddr("93.184.216.34"), ServerIP: netip.MustParseAddr("2001:db8::1"), ServerPort: 8443,
		Ray: "0123456789abcdef", Start: time.Unix(1484063137, 857e6), TLSVersion: "TLSv1.3", TLSCipher: "AEAD-AES128-GCM-SHA256", UpstreamZone: "example.net",
		Body: func() Body {
			return Body{Data: []byte("username=admin&text=an+xss%20attack"), Size: 35}
		},
		Status: 403, ResponseHeader: http.Header{"Server": {"nginx"}, "Content-Type": {"text/HTML; charset=utf-8"}}, RawResponseHeader: http.Header{"Server": {"origin"}},
		ErrorCode: 1020, ErrorType: "waf",
	}
}

var office = func(name string) *List {
	var l *List
	var err error
	switch name {
	case "office_network":
		l, err = NewIPList([]string{"93.184.0.0/16", "2001:db8::/32", "192.0.2.1"})
	case "hosts":
		l, err = NewHostnameList([]string{"*.example.org", "example.net"})
	}
	if err != nil {
		panic(err)
	}
	return l
}

const everywhere = Redirect | URLRewrite | Firewall | RateLimit | BulkRedirect | RequestHeaders | CustomErrors | ResponseHeaders

func TestFilters(t *testing.T) {
	for _, c := range []struct {
		source string
		want   bool
	}{
		// Fields.
		{`true`, true},
		{`false`, false},
		{`ssl`, true},
		{`not ssl`, false},
		{`http.host == "www.example.org"`, true},
		{`http.cookie eq "session=8521F6; app=a%20b; %61pp=test"`, true},
		{`http.referer eq "https://developer.example.org/en-US/"`, true},
		{`http.user_agent contains "Mozilla"`, true},
		{`http.x_forwarded_for eq "203.0.113.195, 70.41.3.18"`, true},
		{`http.request.method eq "GET" and http.request.version eq "HTTP/2"`, true},
		{`http.request.full_uri eq "https://www.example.org/articles/Index.HTML?section=539061&expand=comments&section=2&x&=y"`, true},
		{`http.request.uri eq "/articles/Index.HTML?section=539061&expand=comments&section=2&x&=y"`, true},
		{`http.request.uri.path eq "/articles/Index.HTML" and http.request.uri.path.extension eq "html"`, true},
		{`http.request.uri.query contains "expand=comments"`, true},
		{`raw.http.request.uri eq "/articles/old?a=1" and raw.http.request.uri.path eq "/articles/old" and raw.http.request.uri.query eq "a=1"`, true},
		{`raw.http.request.full_uri eq "https://www.example.org/articles/old?a=1" and raw.http.request.uri.args["a"][0] eq "1"`, true},
		{`http.request.timestamp.sec eq 1484063137 and http.request.timestamp.msec eq 857`, true},
		{`ip.src eq 93.184.216.34 and cf.edge.server_ip eq 2001:db8:0::1 and cf.edge.server_port eq 8443`, true},
		{`cf.ray_id eq "0123456789abcdef" and cf.tls_version eq "TLSv1.3" and cf.tls_cipher eq "AEAD-AES128-GCM-SHA256"`, true},
		{`cf.threat_score eq 0 and cf.edge.client_tcp and cf.worker.upstream_zone eq "example.net"`, true},
		{`cf.tls_client_auth.cert_verified or cf.tls_client_auth.cert_presented or cf.tls_client_auth.cert_serial ne ""`, false},
		{`len(cf.random_seed) eq 16`, true},
		{`any(http.request.cookies["app"][*] == "test") and http.request.cookies["app"][0] eq "a%20b"`, true},
		{`http.request.headers["host"][0] eq "www.example.org:8443"`, true},
		{`http.request.headers["accept"][1] eq "application/json" and len(http.request.headers["accept"]) eq 2`, true},
		{`any(http.request.headers.names[*] == "Content-Type") and not http.request.headers.truncated`, true},
		{`any(lower(http.request.headers.names[*])[*] == "content-type")`, true},
		{`any(http.request.headers[*][*] == "Mozilla/5.0")`, true},
		{`any(http.request.headers[*][0] == "application/json")`, false},
		{`http.request.accepted_languages[0] eq "fr-CH" and join(http.request.accepted_languages, " ") eq "fr-CH en fr de"`, true},
		{`any(http.request.uri.args.names[*] == "section") and any(http.request.uri.args.values[*] == "2") and http.request.uri.args["x"][0] eq ""`, true},
		{`http.response.code eq 403 and cf.response.1xxx_code eq 1020 and cf.response.error_type eq "waf"`, true},
		{`any(http.response.headers["server"][*] == "nginx") and any(raw.http.response.headers["server"][*] == "origin")`, true},
		{`http.response.content_type.media_type eq "text/html"`, true},
		{`http.request.body.size eq 35 and not http.request.body.truncated and http.request.body.mime eq "text/plain"`, true},
		{`any(http.request.body.form["username"][*] == "admin") and any(http.request.body.form.names[*] == "text")`, true},
		{`any(url_decode(http.request.body.form.values[*])[*] contains "an xss attack")`, true},
		{`any(http.request.body.multipart.values[*] == "x")`, false},

		// Operators.
		{`http.request.uri.path contains "/articles/"`, true},
		{`http.request.uri.path matches "^/articles/[A-Z]"`, true},
		{`http.request.uri.path ~ "\.HTML$"`, true},
		{`http.host matches "^(www|store|blog)\.example\.org"`, true},
		{`url_decode(http.request.uri.path) matches "(?u)\p{Hangul}+"`, false},
		{`http.user_agent matches r#"la/5\.\d"#`, true},
		{`http.host in {"example.com" "www.example.org"}`, true},
		{`http.host in {"a" "b" "c" "d" "e" "f" "g" "www.example.org"}`, true},
		{`http.host in {}`, false},
		{`ip.src in {198.51.100.1 198.51.100.3..198.51.100.7 93.184.216.0/24 2001:0db8::/32}`, true},
		{`ip.src in {93.184.216.30..93.184.216.33 93.184.216.35}`, false},
		{`ip.src in $office_network`, true},
		{`not ip.src in $office_network`, false},
		{`http.host in $hosts`, true},
		{`cf.edge.server_port in {8000..8009 8440..8449}`, true},
		{`cf.edge.server_port in {8450..8459 8000..8442}`, false},
		{`cf.edge.server_port & 0x1 or cf.edge.server_port bitwise_and 0x2`, true},
		{`cf.edge.server_port & 4`, false},
		{`cf.edge.server_port gt 8442 and cf.edge.server_port < 8444 and cf.edge.server_port ge 8443 and cf.edge.server_port <= 8443`, true},
		{`http.request.timestamp.msec ne 0x359`, false},
		{`http.request.timestamp.msec eq 01531`, true},
		{`http.host ne "www.example.org"`, false},
		{`http.host gt "www.example.aaa" and http.host lt "www.example.zzz"`, true},
		{`http.request.method eq 47:45:54`, true},
		{`http.request.method eq "\x47\105T"`, true},
		{`ip.src lt 93.184.216.35 and ip.src gt 93.0.0.0`, true},
		{`ip.src gt ::1 or ip.src lt ::1`, false},
		{`http.request.full_uri wildcard "https://WWW.example.org/articles/*"`, true},
		{`http.request.full_uri strict wildcard "https://WWW.example.org/articles/*"`, false},
		{`http.request.full_uri wildcard "*.example.org/*/index.html"`, false},
		{`http.request.uri.path wildcard "/*/index.html"`, true},

		// Logic: not before and before xor before or.
		{`true or true and false`, true},
		{`(true or true) and false`, false},
		{`true xor true or true`, true},
		{`true xor true and false`, true},
		{`true ^^ true ^^ true`, true},
		{`not false and false`, false},
		{`not (false and false)`, true},
		{`!ssl || !(!ssl)`, true},
		{`ssl&&http.host=="www.example.org"`, true},

		// What is missing makes a comparison false, whatever the operator.
		{`http.request.headers["x-none"][0] eq ""`, false},
		{`http.request.headers["x-none"][0] ne "a"`, false},
		{`not http.request.headers["x-none"][0] eq "a"`, true},
		{`len(http.request.uri.args["section"]) >= 0`, true},
		{`not len(http.request.uri.args["order"]) >= 0`, true},
		{`starts_with(http.request.headers["x-none"][0], "")`, false},
		{`http.request.headers["accept"][7] contains ""`, false},
		{`any(http.request.headers["x-none"][*] ne "a")`, false},
		{`all(http.request.headers["x-none"][*] eq "a")`, true},

		// Arrays.
		{`all(len(http.request.uri.args["section"][*])[*] in {1 6})`, true},
		{`all(not len(http.request.uri.args["section"][*])[*] in {1 6})`, false},
		{`any(http.request.headers["accept"][*] contains "json" and http.request.headers["accept"][*] contains "application")`, true},
		{`any(http.request.headers["accept"][*] contains "json" xor http.request.headers["accept"][*] contains "application")`, false},
		{`any(http.request.headers["accept"][*] eq "a" or http.request.headers["accept"][*] eq "text/html")`, true},
		{`any(len(http.request.headers.values[*])[*] gt 10)`, true},
		{`lower(http.request.headers["accept"][*])[0] eq "text/html"`, true},
		{`any(concat(http.request.headers["accept"][*], ";q=1")[*] eq "text/html;q=1")`, true},
		{`len(concat(http.request.headers["accept"], http.request.uri.args["section"])) eq 4`, true},

		// Functions.
		{`lower(http.request.uri.path) eq "/articles/index.html" and upper(http.host) eq "WWW.EXAMPLE.ORG"`, true},
		{`starts_with(http.request.uri.path, "/articles") and ends_with(http.request.uri.path, ".HTML")`, true},
		{`len(http.host) eq 15`, true},
		{`remove_bytes(http.host, "\x2e\x77") eq "exampleorg"`, true},
		{`substring(http.host, 4, 11) eq "example" and substring(http.host, -3) eq "org" and substring(http.host, 0, -4) eq "www.example"`, true},
		{`substring(http.host, 9, 2) eq "" and substring(http.host, 99) eq "" and substring(http.host, -99, 3) eq "www"`, true},
		{`url_decode(http.request.headers["x-encoded"][0]) eq "John Doe" and url_decode(http.request.headers["x-encoded"][1]) eq "a b"`, true},
		{`url_decode(http.request.headers["x-encoded"][2]) eq "%20" and url_decode(http.request.headers["x-encoded"][2], "r") eq " "`, true},
		{`url_decode(http.request.headers["x-encoded"][3], "u") eq "\xe2\x98\x81" and url_decode(http.request.headers["x-encoded"][3]) eq "%u2601"`, true},
		{`url_decode(http.request.headers["x-encoded"][4], "ur") eq "😀" and url_decode(http.request.headers["x-encoded"][5]) eq "%zz"`, true},
		{`url_decode(http.request.headers["x-deep"][0], "r") eq "%252541"`, true}, // 32 times, and no more
		{`any(decode_base64(http.request.headers["client-id"][*])[*] eq "123abc")`, true},
		{`decode_base64(http.host) ne ""`, false},
		{`encode_base64("hello world") eq "aGVsbG8gd29ybGQ" and encode_base64("hello world", "p") eq "aGVsbG8gd29ybGQ=" and encode_base64("\xfb\xff", "u") eq "-_8"`, true},
		{`encode_base64(sha256("abc"), "p") eq "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="`, true},
		{`cidr(ip.src, 24, 64) eq 93.184.216.0 and cidr6(ip.src, 24) eq 93.184.216.34 and cidr(cf.edge.server_ip, 1, 24) eq 2001:d00::`, true},
		{`concat("/", http.request.headers["x-none"][0], http.request.uri.path) eq "//articles/Index.HTML" and concat("String1", " ", "String", "2") eq "String1 String2"`, true},
		{`concat("/", http.request.headers["x-none"][0], http.host) eq "/www.example.org"`, true},
		{`concat(http.request.headers["x-none"][0], http.request.headers["x-none"][1]) eq ""`, false},
		{`join(http.request.headers["accept"], ",") eq "text/html,application/json"`, true},
		{`split(http.request.headers["x-categories"][0], ",", 64)[2] eq "electronics" and split(http.request.headers["x-categories"][0], ",", 2)[1] eq ",electronics"`, true},
		{`len(split(http.host, ".", 128)) eq 3 and len(split(http.host, ".", 1)) eq 1`, true},
		{`has_key(http.request.headers, "accept") and not has_key(http.request.headers, "x-none") and has_key(http.request.uri.args, "section")`, true},
		{`has_value(http.request.headers["accept"], "text/html") and has_value(http.request.headers, "Mozilla/5.0") and not has_value(http.request.uri.args.names, "none")`, true},
	} {
		f, err := Compile(c.source, Options{Phase: everywhere, List: office})
		if err != nil {
			t.Errorf("%s\n%v", c.source, err)
			continue
		}
		if got := f.Match(sample()); got != c.want {
			t.Errorf("%s: %v", c.source, got)
		}
		again, err := Compile(mustParse(t, c.source).String(), Options{Phase: everywhere, List: office})
		if err != nil || again.Match(sample()) != c.want {
			t.Errorf("%s differs when it is written as %s: %v", c.source, mustParse(t, c.source), err)
		}
	}
}

func mustParse(t testing.TB, source string) *Expression {
	t.Helper()
	e, err := Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestValues(t *testing.T) {
	for _, c := range []struct{ source, path, want string }{
		{`"/static"`, "", "/static"},
		{`r"/a\b"`, "", `/a\b`},
		{`http.request.uri.path`, "/x", "/x"},
		{`concat("/archive", http.request.uri.path)`, "/x", "/archive/x"},
		{`regex_replace("/foo/bar", "/bar$", "/baz")`, "", "/foo/baz"},
		{`regex_replace("/x", "^/y$", "/mumble")`, "", "/x"},
		{`regex_replace("/foo", "^/FOO$", "/x")`, "", "/foo"},
		{`regex_replace("/a/a", "/a", "/b")`, "", "/b/a"},
		{`regex_replace("/b", "^/b$", "/b$$")`, "", "/b$"},
		{`regex_replace("/foo/a/path", "^/foo/([^/]*)/(.*)$", "/bar/${2}/${1}")`, "", "/bar/path/a"},
		{`regex_replace(http.request.uri.path, "\\\\", "a")`, `/\`, "/a"},
		{`regex_replace(http.request.uri.path, r"\\", "a")`, `/\`, "/a"},
		{`regex_replace(http.request.uri.path, "x(y)?", "<${1}${9}>")`, "/x", "/<>"},
		{`wildcard_replace(http.request.uri.path, "/*", "/apps/${1}")`, "/calendar", "/apps/calendar"},
		{`wildcard_replace(http.request.uri.path, "/apps/*", "/${1}")`, "/Apps/calendar", "/calendar"},
		{`wildcard_replace(http.request.uri.path, "/apps/*", "/${1}", "s")`, "/Apps/calendar", "/Apps/calendar"},
		{`wildcard_replace(http.request.uri.path, "/apps/*/login", "/${1}/login")`, "/apps/calendar/login", "/calendar/login"},
		{`wildcard_replace(http.request.full_uri, "/applications/*", "/apps/${1}")`, "/applications/a", "https://www.example.org/applications/a"},
		{`wildcard_replace(http.request.full_uri, "https://*.example.org/*/*", "https://example.org/${1}/${2}/${3}")`, "/calendar/admin/x", "https://example.org/www/calendar/admin/x"},
		{`wildcard_replace(http.request.uri.path, r"/\*/\\*", "${1}$$${0}")`, `/*/\b`, `b$/*/\b`},
		{`to_string(cf.edge.server_port)`, "", "8443"},
		{`to_string(ssl)`, "", "true"},
		{`to_string(ip.src)`, "", "93.184.216.34"},
		{`remove_query_args(raw.http.request.uri.query, "country")`, "order=asc&country=GB", "order=asc"},
		{`remove_query_args(raw.http.request.uri.query, "order")`, "order=asc&country=GB", "country=GB"},
		{`remove_query_args(raw.http.request.uri.query, "search")`, "order=asc&country=GB", "order=asc&country=GB"},
		{`remove_query_args(raw.http.request.uri.query, "order")`, "category=Foo&order=desc&category=Bar", "category=Foo&category=Bar"},
		{`remove_query_args(raw.http.request.uri.query, "category", "x")`, "category=Foo&order=desc&category=Bar", "order=desc"},
	} {
		v, err := CompileValue(c.source, Options{Phase: everywhere})
		if err != nil {
			t.Errorf("%s\n%v", c.source, err)
			continue
		}
		x := sample()
		x.Path, x.Query, x.RawQuery = c.path, "", c.path
		if got, ok := v.Text(x); got != c.want || !ok {
			t.Errorf("%s: %q, %v; want %q", c.source, got, ok, c.want)
		}
	}
}

func TestUUID(t *testing.T) {
	v, err := CompileValue("uuidv4(cf.random_seed)", Options{Phase: RequestHeaders})
	if err != nil {
		t.Fatal(err)
	}
	x := sample()
	a, _ := v.Text(x)
	b, _ := v.Text(x)
	if len(a) != 36 || a[14] != '4' || strings.IndexByte("89ab", a[19]) < 0 || a != b {
		t.Errorf("%s, then %s", a, b)
	}
	if a, b = strings.Clone(a), ""; true {
		x.Reset()
		if b, _ = v.Text(x); a == b {
			t.Error("two requests have the same random bytes")
		}
	}
}

// The shape of tokens: https://developers.cloudflare.com/ruleset-engine/rules-language/functions/#hmac-validation
func TestHMAC(t *testing.T) {
	const key = "mysecretkey"
	for _, c := range []struct {
		name, source, uri string
		want              bool
	}{
		{"valid", `is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 100000, http.request.timestamp.sec, 8)`, "/download/cat.jpg?verify=" + token(key, "/download/cat.jpg", 1484063787, false), true},
		{"at its last second", `is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 10, 1484063797, 8)`, "/download/cat.jpg?verify=" + token(key, "/download/cat.jpg", 1484063787, false), true},
		{"expired", `is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 10, 1484063798, 8)`, "/download/cat.jpg?verify=" + token(key, "/download/cat.jpg", 1484063787, false), false},
		{"another message", `is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 100000, http.request.timestamp.sec, 8)`, "/download/dog.jpg?verify=" + token(key, "/download/cat.jpg", 1484063787, false), false},
		{"another time", `is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 100000, http.request.timestamp.sec, 8)`, strings.Replace("/download/cat.jpg?verify="+token(key, "/download/cat.jpg", 1484063787, false), "1484063787", "1484063788", 1), false},
		{"another key", `is_timed_hmac_valid_v0("other", http.request.uri, 100000, http.request.timestamp.sec, 8)`, "/download/cat.jpg?verify=" + token(key, "/download/cat.jpg", 1484063787, false), false},
		{"safe for URLs", `is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 100000, http.request.timestamp.sec, 8, "s")`, "/download/cat.jpg?verify=" + token(key, "/download/cat.jpg", 1484063787, true), true},
		{"not safe where it should be", `is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 100000, http.request.timestamp.sec, 8, "s")`, "/download/cat.jpg?verify=" + token(key, "/download/cat.jpg", 1484063787, false), false},
		{"no token", `is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 100000, http.request.timestamp.sec, 8)`, "/download/cat.jpg", false},
		{"short", `is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 100000, http.request.timestamp.sec, 8)`, "-", false},
		{"missing", `is_timed_hmac_valid_v0("mysecretkey", http.request.headers["x-none"][0], 100000, http.request.timestamp.sec, 8)`, "/", false},
	} {
		f, err := Compile(c.source, Options{Phase: Firewall})
		if err != nil {
			t.Fatal(err)
		}
		x := sample()
		x.Path, x.Query, _ = strings.Cut(c.uri, "?")
		if got := f.Match(x); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestJSON(t *testing.T) {
	for _, c := range []struct {
		body, source string
		want         bool
	}{
		{`{ "record_id": "aed53a", "version": 2 }`, `lookup_json_integer(http.request.body.raw, "version") eq 2`, true},
		{`{ "product": { "id": 356 } }`, `lookup_json_integer(http.request.body.raw, "product", "id") eq 356`, true},
		{`["first_item", -234]`, `lookup_json_integer(http.request.body.raw, 1) eq -234`, true},
		{`{ "network_ids": [123, 456] }`, `lookup_json_integer(http.request.body.raw, "network_ids", 0) eq 123`, true},
		{`[{ "product_id": 123 }, { "product_id": 456 }]`, `lookup_json_integer(http.request.body.raw, 1, "product_id") eq 456`, true},
		{`{"a":42.0}`, `lookup_json_integer(http.request.body.raw, "a") ge 0`, false},
		{`{"a":"42"}`, `lookup_json_integer(http.request.body.raw, "a") ge 0`, false},
		{`{ "company": "cloudflare", "product": "rulesets" }`, `lookup_json_string(http.request.body.raw, "company") == "cloudflare"`, true},
		{`{ "network": { "name": "cloudflare" } }`, `lookup_json_string(http.request.body.raw, "network", "name") == "cloudflare"`, true},
		{`["other_company", "cloudflare"]`, `lookup_json_string(http.request.body.raw, 1) == "cloudflare"`, true},
		{`{ "networks": ["other_company", "cloudflare"] }`, `lookup_json_string(http.request.body.raw, "networks", 1) == "cloudflare"`, true},
		{`[{ "network": "other_company" }, { "network": "cloudflare" }]`, `lookup_json_string(http.request.body.raw, 1, "network") == "cloudflare"`, true},
		{` {"a" : {"b":"}\"]"} ,"\u0063":"\u00e9\ud83d\ude00\n\ud83dx"} `, `lookup_json_string(http.request.body.raw, "c") == "é😀\x0a\xef\xbf\xbdx"`, true},
		{`{"a":"1","a":"2"}`, `lookup_json_string(http.request.body.raw, "a") == "2"`, true},
		{`{"a":"1"`, `lookup_json_string(http.request.body.raw, "a") == "1"`, false},
		{`{"a":1}`, `lookup_json_string(http.request.body.raw, "a") ne "x"`, false},
		{`{"a":[]}`, `lookup_json_string(http.request.body.raw, "a", 0) ne "x"`, false},
		{`"a"`, `lookup_json_string(http.request.body.raw, "a") ne "x"`, false},
		{``, `lookup_json_string(http.request.body.raw, "a") ne "x"`, false},
	} {
		f, err := Compile(c.source, Options{Phase: Firewall})
		if err != nil {
			t.Fatal(err)
		}
		if !f.Body() {
			t.Errorf("%s does not say that it looks at the body", c.source)
		}
		x := sample()
		x.Body = func() Body { return Body{Data: []byte(c.body)} }
		if got := f.Match(x); got != c.want {
			t.Errorf("%s of %s: %v", c.source, c.body, got)
		}
	}
}

func TestMultipart(t *testing.T) {
	x := sample()
	x.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	body := "--b\r\nContent-Disposition: form-data; name=\"role\"\r\n\r\nadmin\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"photo.jpg\"\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: binary\r\n\r\n\xff\xd8\r\n--b--\r\n"
	x.Body = func() Body { return Body{Data: []byte(body)} }
	for source, want := range map[string]bool{
		`any(http.request.body.multipart["role"][*] == "admin")`:                                          true,
		`any(http.request.body.multipart.names[*][0] == "picture")`:                                       true,
		`any(http.request.body.multipart.names[*][*] == "role")`:                                          true,
		`any(http.request.body.multipart.values[*] == "admin")`:                                           true,
		`any(http.request.body.multipart.content_types[*][0] == "image/jpeg")`:                            true,
		`any(http.request.body.multipart.content_dispositions[*][0] in {"form-data; name=\"role\"" "x"})`: true,
		`any(http.request.body.multipart.content_transfer_encodings[*][0] == "binary")`:                   true,
		`any(http.request.body.multipart.filenames[*][0] in {"photo.jpg" "password.txt"})`:                true,
		`len(http.request.body.multipart.filenames) eq 2 and len(http.request.body.multipart) eq 2`:       true,
		`any(len(http.request.body.multipart.filenames[*])[*] eq 0)`:                                      true,
		`any(http.request.body.form.names[*] contains "")`:                                                false,
	} {
		f, err := Compile(source, Options{Phase: Firewall})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Match(x); got != want {
			t.Errorf("%s: %v", source, got)
		}
	}
}

func TestExtension(t *testing.T) {
	for path, want := range map[string]string{
		"/foo": "", "/foo.mp3": "mp3", "/.mp3": "", "/.foo.mp3": "mp3", "/foo.tar.bz2": "bz2", "/foo.": "", "/foo.MP3": "MP3", "/a.b/c": "",
	} {
		if got := extension(path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// Every field and function that there is stands in the documents, and what a
// field's table says of where it can be used is so.
func TestDocumented(t *testing.T) {
	data, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Fields() {
		if !strings.Contains(string(data), "`"+f.Name+"`") {
			t.Errorf("docs/rules.md lacks the field %s", f.Name)
		}
	}
	for _, f := range Functions() {
		if !strings.Contains(string(data), "`"+f.Signature+"`") {
			t.Errorf("docs/rules.md lacks the function %s", f.Signature)
		}
	}
}

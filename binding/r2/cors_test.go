package r2

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// corsRules reads rules as the REST API gives them.
func corsRules(t testing.TB, text string) (c CORS) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

const someCORS = `[
	{"allowed":{"origins":["https://app.example"],"methods":["PUT","GET"],"headers":["Content-Type","x-amz-*"]},"exposeHeaders":["ETag","x-a"],"maxAgeSeconds":60},
	{"allowed":{"origins":["https://*.example","http://localhost:*"],"methods":["GET"],"headers":["*"]}},
	{"allowed":{"origins":["*"],"methods":["HEAD"]}}
]`

// What a page may do is what the first rule says that fits.
func TestCORS(t *testing.T) {
	rules := corsRules(t, someCORS)
	const vary = "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\n"
	for _, c := range []struct {
		name    string
		request string // a method, then headers
		allowed bool
		want    string
	}{
		{"no page", "GET", false, "Vary: Origin\n"},
		{"listed", "GET\nOrigin: https://app.example", false,
			"Access-Control-Allow-Methods: PUT, GET\nAccess-Control-Allow-Origin: https://app.example\nAccess-Control-Expose-Headers: ETag, x-a\nVary: Origin\n"},
		{"a pattern", "GET\nOrigin: https://a.b.example", false,
			"Access-Control-Allow-Methods: GET\nAccess-Control-Allow-Origin: https://a.b.example\nVary: Origin\n"},
		{"any", "HEAD\nOrigin: https://elsewhere", false,
			"Access-Control-Allow-Methods: HEAD\nAccess-Control-Allow-Origin: *\nVary: Origin\n"},
		{"another method", "DELETE\nOrigin: https://app.example", false, "Vary: Origin\n"},
		{"another origin", "GET\nOrigin: https://app.example.evil", false, "Vary: Origin\n"},
		{"another scheme", "GET\nOrigin: http://app.example", false, "Vary: Origin\n"},
		{"preflight", "OPTIONS\nOrigin: https://app.example\nAccess-Control-Request-Method: PUT\nAccess-Control-Request-Headers: content-type, X-AMZ-Date", true,
			"Access-Control-Allow-Headers: content-type, X-AMZ-Date\nAccess-Control-Allow-Methods: PUT, GET\nAccess-Control-Allow-Origin: https://app.example\nAccess-Control-Expose-Headers: ETag, x-a\nAccess-Control-Max-Age: 60\n" + vary},
		{"preflight, no headers", "OPTIONS\nOrigin: https://app.example\nAccess-Control-Request-Method: PUT", true,
			"Access-Control-Allow-Methods: PUT, GET\nAccess-Control-Allow-Origin: https://app.example\nAccess-Control-Expose-Headers: ETag, x-a\nAccess-Control-Max-Age: 60\n" + vary},
		{"preflight, second rule", "OPTIONS\nOrigin: http://localhost:5173\nAccess-Control-Request-Method: GET\nAccess-Control-Request-Headers: x-anything", true,
			"Access-Control-Allow-Headers: x-anything\nAccess-Control-Allow-Methods: GET\nAccess-Control-Allow-Origin: http://localhost:5173\n" + vary},
		{"preflight, a header too many", "OPTIONS\nOrigin: https://app.example\nAccess-Control-Request-Method: PUT\nAccess-Control-Request-Headers: content-type\nAccess-Control-Request-Headers: x-other", false, vary},
		{"preflight, no method", "OPTIONS\nOrigin: https://app.example", false, vary},
		{"preflight, no origin", "OPTIONS\nAccess-Control-Request-Method: PUT", false, vary},
	} {
		method, headers, _ := strings.Cut(c.request, "\n")
		r := httptest.NewRequest(method, "/", nil)
		for line := range strings.SplitSeq(headers, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				r.Header.Add(name, value)
			}
		}
		response, allowed := http.Header{}, false
		if method == "OPTIONS" {
			allowed = rules.Preflight(r, response)
		} else {
			rules.Allow(r, response)
		}
		var got strings.Builder
		if err := response.Write(&got); err != nil {
			t.Fatal(err)
		}
		if text := strings.ReplaceAll(got.String(), "\r", ""); allowed != c.allowed || text != c.want {
			t.Errorf("%s: %v\n%s\nwant %v\n%s", c.name, allowed, text, c.allowed, c.want)
		}
	}
	response := http.Header{}
	CORS(nil).Allow(httptest.NewRequest("GET", "/", nil), response)
	if len(response) > 0 {
		t.Errorf("a bucket without rules says %v", response)
	}
}

// The rules are stored with their bucket, and refused as a whole.
func TestSetCORS(t *testing.T) {
	f := newFixture(t)
	b := f.bucket("b")
	rules := corsRules(t, someCORS)
	f.ok(f.SetCORS(ctx, "b", rules))
	for text, want := range map[string]string{
		`[{"allowed":{"origins":["*"],"methods":[]}}]`:                                                      "at least one allowed method",
		`[{"allowed":{"origins":[],"methods":["GET"]}}]`:                                                    "at least one allowed origin",
		`[{"allowed":{"origins":["*"],"methods":["GET"]}},{"allowed":{"origins":["*"],"methods":["get"]}}]`: `The CORS rule 2 allows the method "get"`,
		`[{"allowed":{"origins":["https://*.*"],"methods":["GET"]}}]`:                                       "one asterisk at most",
		`[{"allowed":{"origins":["https://a\r\nX: y"],"methods":["GET"]}}]`:                                 "an origin is like",
		`[{"allowed":{"origins":["*"],"methods":["GET"],"headers":["a b"]}}]`:                               `allows the header "a b"`,
		`[{"allowed":{"origins":["*"],"methods":["GET"]},"exposeHeaders":["a,b"]}]`:                         `exposes the header "a,b"`,
		`[{"allowed":{"origins":["*"],"methods":["GET"]},"maxAgeSeconds":86401}]`:                           "must be 0 to 86400",
	} {
		if err := f.SetCORS(ctx, "b", corsRules(t, text)); !errors.Is(err, ErrInvalidArgument) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if err := f.SetCORS(ctx, "b", make(CORS, MaxCORSRules+1)); !errors.Is(err, ErrInvalidArgument) {
		t.Errorf("too many rules: %v", err)
	}
	if err := f.SetCORS(ctx, "none", rules); !errors.Is(err, ErrNoSuchBucket) {
		t.Errorf("of no bucket: %v", err)
	}
	f.reopen(Options{})
	got, err := f.CORS(ctx, "b")
	f.ok(err)
	if len(got) != 3 || got[0].MaxAge != 60 || len(f.bucket("b").CORS()) != 3 {
		t.Errorf("after a restart: %+v", got)
	}
	// A bucket of the same name has none of it.
	f.ok(f.DeleteBucket(ctx, "b"))
	if got = f.bucket("b").CORS(); len(got) != 0 || len(b.CORS()) != 3 {
		t.Errorf("the next bucket has %+v", got)
	}
}

// Whatever a browser sends, what it is told is not more than the rules say.
func FuzzCORS(f *testing.F) {
	f.Add("https://*.example", "https://a.example", "PUT", "content-type, x-a", "x-*")
	f.Add("*", "null", "GET", "", "*")
	f.Add("a*a", "a", "HEAD", ",,", "")
	f.Fuzz(func(t *testing.T, pattern, origin, method, asked, header string) {
		rule := CORSRule{Allowed: CORSAllowed{Origins: []string{pattern}, Methods: []string{"GET", "PUT"}, Headers: []string{header}}}
		if rule.check(1) != nil {
			return
		}
		r := httptest.NewRequest("OPTIONS", "/", nil)
		r.Header = http.Header{"Origin": {origin}, "Access-Control-Request-Method": {method}, "Access-Control-Request-Headers": {asked}}
		response := http.Header{}
		if !(CORS{rule}).Preflight(r, response) {
			if len(response) != 1 {
				t.Fatalf("refused, with %v", response)
			}
			return
		}
		if method != "GET" && method != "PUT" {
			t.Fatalf("allowed the method %q", method)
		}
		before, after, _ := strings.Cut(pattern, "*")
		if !strings.HasPrefix(origin, before) || !strings.HasSuffix(origin, after) {
			t.Fatalf("%q allowed %q", pattern, origin)
		}
		if got := response.Get("Access-Control-Allow-Origin"); got != origin && (got != "*" || pattern != "*") {
			t.Fatalf("%q: %q", origin, got)
		}
	})
}

package rules

import (
	"strings"
	"testing"
)

// Whatever is written, there is an answer; what can be read is the same after
// it was written anew, and compiles to the same.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		`http.host eq "a" and not ip.src in {1.2.3.0/24 ::1..::2} xor ssl`, `any(lower(http.request.headers[*][*])[*] ~ "[\"]\d")`, `r#"a"#`,
		`concat("\x00\377", http.request.uri.args["a"][0], r"b")`, `cf.edge.server_port in {1..2 0x3 -4}`, `((!(http.host strict  wildcard r"\**a")))`,
		`lookup_json_string(http.request.body.raw, "a", 0) == "b"`, `http.host eq 01:02-03.04`, `ip.src in $office_network`, `all(not len(http.request.uri.args["a"][*])[*] & 1)`,
		`is_timed_hmac_valid_v0("k", http.request.uri, 1, 2, 3, "s")`, `split(http.host, ".", 2)[1]`, `wildcard_replace(http.host, "*", "${1}$$")`, `a[`, `a(`, `{`, "\x80",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		o := Options{Phase: everywhere, List: office}
		filter, err := Compile(source, o)
		value, errValue := CompileValue(source, o)
		x := sample()
		matched := filter != nil && filter.Match(x)
		var made string
		if value != nil {
			made, _ = value.Text(x)
		}
		e, parsed := Parse(source)
		if parsed != nil {
			if err == nil || errValue == nil {
				t.Fatalf("%q compiles, but: %v", source, parsed)
			}
			_ = parsed.Error()
			return
		}
		again := e.String()
		if len(again) > maxLength {
			return // spaces came in
		}
		e2, err2 := Parse(again)
		if err2 != nil || e2.String() != again {
			t.Fatalf("%q is written as %q: %v", source, again, err2)
		}
		filter2, err3 := Compile(again, o)
		if (err == nil) != (err3 == nil) {
			t.Fatalf("%q: %v, but %q: %v", source, err, again, err3)
		}
		if filter != nil && filter2.Match(sample()) != matched {
			t.Fatalf("%q and %q differ", source, again)
		}
		if value2, err := CompileValue(again, o); (err == nil) != (errValue == nil) {
			t.Fatalf("%q: %v, but %q: %v", source, errValue, again, err)
		} else if value != nil && !strings.Contains(source, "cf.random_seed") {
			if got, _ := value2.Text(sample()); got != made {
				t.Fatalf("%q makes %q, %q makes %q", source, made, again, got)
			}
		}
	})
}

// FuzzRequest evaluates functions on requests of any content.
func FuzzRequest(f *testing.F) {
	f.Add("/a%2", "a=%u12&b", `{"a":"\u12"}`, "a; b=c")
	f.Add("/%%", "&&==", `[{"a":[1,"\ud800\u0041"]}]`, "=;;")
	f.Add("/x-0123456789-a", "", `{"":{}}`, "%zz")
	var filters []*Filter
	for _, source := range []string{
		`url_decode(http.request.uri.path, "ru") eq "a" or any(url_decode(http.request.uri.args.values[*], "ru")[*] eq "a")`,
		`lookup_json_string(http.request.body.raw, "a") eq "b" or lookup_json_integer(http.request.body.raw, 0, "a", 1) eq 1`,
		`any(http.request.cookies[*][*] eq "a") or any(http.request.uri.args[*][*] eq "a") or any(http.request.body.form[*][*] eq "a")`,
		`is_timed_hmac_valid_v0("k", http.request.uri, 100, 1, 3) or is_timed_hmac_valid_v0("k", http.request.uri, 100, 1, 0, "s")`,
		`decode_base64(http.request.uri.query) eq "a" or substring(http.request.uri.path, -3, 2) eq "a" or remove_bytes(http.request.uri, "\xff/") eq "a"`,
		`http.request.uri wildcard "*a*b*" or any(http.request.body.multipart.names[*][*] eq "a") or http.request.uri.path.extension eq "a" or http.request.body.mime eq "a"`,
		`any(split(http.request.uri, "/", 3)[*] eq "a") or join(http.request.accepted_languages, "") eq "a"`,
	} {
		filter, err := Compile(source, Options{Phase: everywhere})
		if err != nil {
			f.Fatal(err)
		}
		filters = append(filters, filter)
	}
	f.Fuzz(func(t *testing.T, path, query, body, header string) {
		x := sample()
		x.Path, x.Query = path, query
		x.Header["Cookie"], x.Header["Accept-Language"], x.Header["Content-Type"] = []string{header}, []string{header}, []string{header}
		x.Body = func() Body { return Body{Data: []byte(body)} }
		for _, filter := range filters {
			first := filter.Match(x)
			x.Changed()
			if filter.Match(x) != first {
				t.Fatal("a second evaluation says something else")
			}
		}
	})
}

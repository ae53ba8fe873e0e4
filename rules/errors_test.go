package rules

import (
	"strings"
	"testing"
)

// Every mistake is told with its place; the caret stands under it.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		source, want string
	}{
		{`http.hots eq "a"`, `1:1: there is no field "http.hots"; did you mean http.host?
    http.hots eq "a"
    ^^^^^^^^^`},
		{"http.host eq \"a\"\n  and ip.src in {1.2.3.4/24}", `2:18: the network has bits after its 24 first: write 1.2.3.0/24
      and ip.src in {1.2.3.4/24}
                     ^^^^^^^^^^`},
		{`http.host eq "é" and foo`, `1:22: there is no field "foo"`},
		{``, `1:1: expected a field, a function, or not; the expression ends`},
		{`http.host`, `1:1: a rule needs a condition, which is true or false; this is of type String`},
		{`http.request.headers.names[*] == "Content-Type"`, `1:1: a rule needs a condition, which is true or false; this is of type Array<Boolean>; put it into any(…) or all(…)`},
		{`http.host eq`, `1:13: expected a value; the expression ends`},
		{`http.host eq foo`, `1:14: expected a string in quotes`},
		{`http.host eq "a`, `1:14: the string has no closing quote`},
		{`http.host eq "a\q"`, `1:16: there is no such escape: use \", \\, \xHH or \OOO, or a raw string such as r"…"`},
		{`http.host eq "\xg0"`, `1:17: "g0" is not a byte in base 16`},
		{`http.host eq "\777"`, `1:16: "777" is not a byte in base 8`},
		{`http.host eq r##"a"#`, `1:14: the string has no closing quote`},
		{`http.host eq "a" http.host`, `1:18: expected and, or, xor, or the end of the expression; found 'h'`},
		{`http.host eq "a" AND ssl`, `1:18: expected and, or, xor, or the end of the expression; found 'A'`},
		{`(ssl`, `1:1: the closing ")" is missing`},
		{`ssl)`, `1:4: expected and, or, xor, or the end of the expression; found ')'`},
		{`ssl eq true`, `1:5: a Boolean needs no operator: write it alone, or not before it`},
		{`"a" eq http.host`, `1:1: a literal cannot be compared; write the field first, as in http.host eq "a"`},
		{`ip.src eq 203.0.113.0/24`, `1:11: a network is not one address; write: in {203.0.113.0/24}`},
		{`ip.src eq "203.0.113.1"`, `1:11: expected an IP address without quotes`},
		{`ip.src contains "1"`, `1:17: expected an IP address without quotes`},
		{`ip.src contains 1.2.3.4`, `1:8: contains cannot be used on a value of type IP address`},
		{`ip.src in {1.2.3.9..1.2.3.4}`, `1:12: the range must lead from a lower to a higher address of one kind`},
		{`ip.src in {1.2.3.9..::1}`, `1:12: the range must lead`},
		{`ip.src in {1.2.3.4, 1.2.3.5}`, `1:19: values are separated by spaces, not commas`},
		{`ip.src in {1.2.3.4`, `1:11: the closing "}" is missing`},
		{`ip.src in 1.2.3.4`, `1:11: in needs values such as {1 2} or a list such as $name; found '1'`},
		{`ip.src in $none`, `1:11: there is no list "none"`},
		{`ip.src in $Office`, `1:11: a list's name has lower-case letters, digits and _, as in $office_network`},
		{`ip.src in $hosts`, `1:11: the list "hosts" has hostnames, and IP addresses are wanted here`},
		{`cf.edge.server_port in $office_network`, `1:24: there are no lists of integers`},
		{`http.host in {"a".."b"}`, `1:18: expected a value; found '.'`},
		{`http.host in {01:02..01:03}`, `1:15: there are no ranges of strings`},
		{`cf.edge.server_port in {9..1}`, `1:25: the range ends before it begins`},
		{`cf.edge.server_port eq "80"`, `1:24: expected an integer without quotes`},
		{`cf.edge.server_port eq 99999999999999999999`, `1:24: expected an integer of 64 bits`},
		{`cf.edge.server_port contains 1`, `1:21: contains cannot be used on a value of type Integer`},
		{`http.host & 1`, `1:13: expected a string in quotes`},
		{`http.host matches "("`, "1:19: missing closing ): `(`"},
		{`http.host matches 12`, `1:19: matches needs a regular expression in quotes`},
		{`http.host wildcard "a**"`, `1:20: two stars in a row are not allowed in a wildcard`},
		{`http.host wildcard r"\a"`, `1:20: in a wildcard a backslash stands before * or \ only`},
		{`http.host starts_with "a"`, `1:11: starts_with is a function: write starts_with(http.host, …)`},
		{`starts_with("a", http.host)`, `1:13: argument 1 of starts_with must be a field, or made of one; this is a literal`},
		{`starts_with(http.host)`, `1:1: 1 arguments do not fit starts_with(String, String): Boolean`},
		{`starts_with(http.host, 1)`, `1:24: argument 2 of starts_with must be a string; this is a literal`},
		{`starts_with(http.request.headers["a"], "x")`, `1:13: argument 1 of starts_with must be a string; this is of type Array<String>; take one element`},
		{`starts_with(http.host, http.request.headers.names[*])`, `1:24: [*] can be used in the first argument of a function only`},
		{`starts_wiht(http.host, "x")`, `1:1: there is no function "starts_wiht"; did you mean starts_with?`},
		{`lower`, `1:1: lower is a function: write lower(String): String`},
		{`ssl()`, `1:1: ssl is a field: write it without parentheses`},
		{`any(ssl)`, `1:5: argument 1 of any must be a condition on each element`},
		{`len(http.host["a"]) eq 1`, `1:14: http.host has no ["a"]: it is of type String`},
		{`http.request.headers[0] eq "x"`, `1:21: http.request.headers has no [0]: it is of type Map<Array<String>>`},
		{`http.request.headers.names["a"] eq "x"`, `1:27: http.request.headers.names has no ["a"]`},
		{`http.request.headers["Accept"][0] eq "x"`, `1:22: the names of headers are in lower case here: write "accept"`},
		{`http.request.headers["accept"] eq "x"`, `1:32: eq compares single values; this is of type Array<String>; take one element, as in [0], or compare each, as in any(…[*] eq …)`},
		{`http.request.headers["accept"][-1] eq "x"`, `1:32: an index is a number from 0`},
		{`ssl and any(http.request.headers["accept"][*])`, `1:13: argument 1 of any must be a condition`},
		{`any(http.request.headers["accept"][*] eq "a" and ssl)`, `1:50: and combines single conditions or conditions of each element, not both`},
		{`ssl and http.host`, `1:9: this is not a condition: it must be true or false`},
		{`not "a"`, `1:5: this is not a condition`},
		{`ip.src.country eq "DE"`, `1:1: the field ip.src.country is not known here: it needs a database of where addresses are`},
		{`http.response.code eq 200`, `1:1: the field http.response.code can be used in rate limiting rules, custom error rules, response header transforms only`},
		{`regex_replace(http.host, "a", "b") eq "a"`, `1:1: the function regex_replace can be used in the values of redirects, URL rewrites, request header transforms, response header transforms only`},
		{`cidr(1.2.3.4, 24, 24) eq 1.2.3.0`, `1:6: argument 1 of cidr must be a field that is an IP address; this is a literal`},
		{`cidr(ip.src, 33, 24) eq 1.2.3.0`, `1:14: argument 2 of cidr must be from 1 to 32`},
		{`bit_slice(ip.src, 1, 2) eq 1`, `1:1: bit_slice is a function of Magic Firewall`},
		{`url_decode(http.host, "x") eq ""`, `1:23: argument 2 of url_decode has the letters "ru" only`},
		{strings.Repeat("(", 200) + "ssl" + strings.Repeat(")", 200), `1:129: the expression is nested more than 128 deep`},
		{strings.Repeat("!", 200) + "ssl", `1:128: the expression is nested more than 128 deep`},
		{`http.host eq "` + strings.Repeat("a", 5000) + `"`, `1:1: the expression has 5015 characters; at most 4096 are allowed`},
		{"http.host eq \"\xff\"", `1:1: the expression is not valid UTF-8`},
	} {
		_, err := Compile(c.source, Options{Phase: Firewall, List: office})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.source, err, c.want)
		}
	}
}

func TestErrorsOfValues(t *testing.T) {
	for _, c := range []struct {
		phase        Phase
		source, want string
	}{
		{Redirect, `ip.src`, `1:1: the value must be a string; this is of type IP address; compare it`},
		{Redirect, `http.request.headers["a"]`, `1:1: the value must be a string; this is of type Array<String>; take one element`},
		{Redirect, `12`, `1:1: expected a string in quotes`},
		{Redirect, `concat(regex_replace(http.host, "a", "b"), regex_replace(http.host, "a", "b"))`, `1:44: regex_replace can be used once in an expression`},
		{Redirect, `regex_replace(wildcard_replace(http.host, "a", "b"), "a", "b")`, `1:15: wildcard_replace cannot be nested in regex_replace`},
		{Redirect, `regex_replace(http.host, "a", "$1")`, `1:31: in a replacement a dollar sign is written $$, and a reference ${1}`},
		{Redirect, `regex_replace(http.host, "a", "${a}")`, `1:31: ${a} is not a reference such as ${1}`},
		{Redirect, `regex_replace(http.host, "a", "${1}${1}${1}${1}${1}${1}${1}${1}${1}")`, `1:31: a replacement has at most eight references`},
		{Redirect, `regex_replace(http.host, http.host, "b")`, `1:26: argument 2 of regex_replace must be a string in quotes`},
		{Redirect, `wildcard_replace("a", "a", "b")`, `1:18: argument 1 of wildcard_replace must be a field, or made of one`},
		{RequestHeaders, `wildcard_replace(http.host, "a", "b")`, `1:1: the function wildcard_replace can be used in the values of redirects, URL rewrites only`},
		{URLRewrite, `remove_query_args(http.host, "a")`, `1:19: argument 1 of remove_query_args must be http.request.uri.query or raw.http.request.uri.query`},
		{Redirect, `uuidv4(cf.random_seed)`, `1:1: the function uuidv4 can be used in the values of URL rewrites,`},
		{URLRewrite, `split(http.host, ".", 2)[0]`, `1:1: the function split can be used in custom error rules, response header transforms only`},
		{ResponseHeaders, `split(http.host, "", 2)[0]`, `1:18: the separator must not be empty`},
		{ResponseHeaders, `split(http.host, ".", 129)[0]`, `1:23: argument 3 of split must be from 1 to 128`},
		{ResponseHeaders, `concat(http.request.headers.names, "a")[0]`, `1:36: argument 2 of concat must be an array of strings, as the first is`},
		{ResponseHeaders, `to_string(http.host)`, `1:11: argument 1 of to_string must be an Integer, Boolean or IP address`},
	} {
		_, err := CompileValue(c.source, Options{Phase: c.phase})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.source, err, c.want)
		}
	}
}

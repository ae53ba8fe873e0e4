package sigv4

import (
	"bufio"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/hop/target"
)

// The vectors of AWS's test suite for signers (awslabs/aws-c-auth, aws-signing-test-suite/v4)
// that hold for S3, which does not normalize paths.
func TestSuiteOfAWS(t *testing.T) {
	for _, c := range []struct{ name, request, signature string }{
		{"get-header-key-duplicate", "GET / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1:value2\nMy-Header1:value2\nMy-Header1:value1", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
		{"get-header-value-order", "GET / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1:value4\nMy-Header1:value1\nMy-Header1:value3\nMy-Header1:value2", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
		{"get-header-value-trim", "GET / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1: value1\nMy-Header2: \"a   b   c\"", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		{"get-unreserved", "GET /-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz HTTP/1.1\nHost:example.amazonaws.com", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		{"get-utf8", "GET /ሴ HTTP/1.1\nHost:example.amazonaws.com", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
		{"get-vanilla", "GET / HTTP/1.1\nHost:example.amazonaws.com", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-vanilla-empty-query-key", "GET /?Param1=value1 HTTP/1.1\nHost:example.amazonaws.com", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
		{"get-vanilla-query", "GET / HTTP/1.1\nHost:example.amazonaws.com", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-vanilla-query-order-encoded", "GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1 HTTP/1.1\nHost:example.amazonaws.com", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
		{"get-vanilla-query-order-key-case", "GET /?Param2=value2&Param1=value1 HTTP/1.1\nHost:example.amazonaws.com", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"get-vanilla-query-unreserved", "GET /?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz HTTP/1.1\nHost:example.amazonaws.com", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
		{"get-vanilla-utf8-query", "GET /?ሴ=bar HTTP/1.1\nHost:example.amazonaws.com", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
		{"post-header-key-case", "POST / HTTP/1.1\nHost:example.amazonaws.com", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{"post-header-key-sort", "POST / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1:value1", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
		{"post-header-value-case", "POST / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1:VALUE1", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
		{"post-vanilla", "POST / HTTP/1.1\nHost:example.amazonaws.com", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{"post-vanilla-empty-query-value", "POST /?Param1=value1 HTTP/1.1\nHost:example.amazonaws.com", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
		{"post-vanilla-query", "POST /?Param1=value1 HTTP/1.1\nHost:example.amazonaws.com", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
		{"get-space-unnormalized", "GET /example space/ HTTP/1.1\nHost:example.amazonaws.com", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
		{"get-slashes-unnormalized", "GET //example// HTTP/1.1\nHost:example.amazonaws.com", "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"},
		{"get-relative-unnormalized", "GET /example/.. HTTP/1.1\nHost:example.amazonaws.com", "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282"},
		{"get-slash-dot-slash-unnormalized", "GET /./ HTTP/1.1\nHost:example.amazonaws.com", "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145"},
	} {
		t.Run(c.name, func(t *testing.T) {
			line, headers, _ := strings.Cut(c.request, "\n")
			method, uri, _ := strings.Cut(strings.TrimSuffix(line, " HTTP/1.1"), " ")
			r := &http.Request{Method: method, Header: http.Header{"X-Amz-Date": {"20150830T123600Z"}}}
			for lines := bufio.NewScanner(strings.NewReader(headers)); lines.Scan(); {
				name, value, _ := strings.Cut(lines.Text(), ":")
				if name == "Host" {
					r.Host = value
				} else {
					r.Header.Add(name, value)
				}
			}
			claim := &claim{date: "20150830", region: "us-east-1", service: "service", at: time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC), signed: []string{"host"}}
			for name := range r.Header {
				claim.signed = append(claim.signed, strings.ToLower(name))
			}
			slices.Sort(claim.signed)
			u := target.Parse(uri)
			text, err := canonicalRequest(r, u.Path, parameters(u.RawQuery), claim, hexDigest(nil))
			if err != nil {
				t.Fatal(err)
			}
			s := newSigner("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", claim)
			if got := hex.EncodeToString(s.sign(algorithm, hexDigest([]byte(text)))); got != c.signature {
				t.Errorf("signature %s, want %s, of\n%s", got, c.signature, text)
			}
		})
	}
}

package rules

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// token is what is_timed_hmac_valid_v0 looks for.
func token(key, message string, issued int64, safe bool) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s%d", message, issued)
	if safe {
		return fmt.Sprintf("%d-%s", issued, base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
	}
	return fmt.Sprintf("%d-%s", issued, url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil))))
}

// A filter allocates nothing, whatever it calls.
func TestNoAllocation(t *testing.T) {
	for _, source := range []string{
		`http.host eq "www.example.org" and not ip.src in $office_network`,
		`http.request.full_uri wildcard "*.example.org/*/index.html" or http.request.uri contains "?"`,
		`lower(http.request.uri.path) eq "/a" or upper(http.host) eq "A" or concat(http.host, http.request.uri.path) eq "a"`,
		`any(lower(http.request.headers.names[*])[*] == "x") or any(http.request.headers["accept"][*] matches "^x/\d+")`,
		`any(http.request.headers[*][*] == "x") or all(len(http.request.uri.args["section"][*])[*] in {3 4})`,
		`any(http.request.cookies["app"][*] == "x") or any(url_decode(http.request.uri.args.values[*], "ur")[*] eq "x")`,
		`any(decode_base64(http.request.headers["client-id"][*])[*] eq "x") or join(http.request.headers.names, ",") eq "x"`,
		`cidr(ip.src, 24, 64) eq 1.2.3.0 or ip.src in {1.2.3.4 2.0.0.0/8} or http.host in $hosts and false`,
		`is_timed_hmac_valid_v0("mysecretkey", http.request.uri, 100000, http.request.timestamp.sec, 8)`,
		`lookup_json_string(http.request.headers["x-json"][0], "a", 1) eq "x" or has_value(http.request.headers, "x")`,
		`substring(http.host, 1, 2) eq "x" or remove_bytes(http.host, ".") eq "x" or http.request.uri.path.extension eq "x"`,
	} {
		f, err := Compile(source, Options{Phase: Firewall, List: office})
		if err != nil {
			t.Fatal(err)
		}
		x := sample()
		fresh := *x
		evaluate := func() {
			kept := x.pairsMemory
			m := x.memory
			*x = fresh
			x.pairsMemory, x.memory = kept, m
			f.Match(x)
			m, kept = x.memory, x.pairsMemory
			m.reset()
			for i := range kept {
				kept[i].reset()
			}
			x.pairsMemory, x.memory = kept, m
		}
		for range 10 {
			evaluate() // the memory grows
		}
		least := 1e9 // with the race detector sync.Pool, which regexp has, forgets at random
		for range 50 {
			least = min(least, testing.AllocsPerRun(1, evaluate))
		}
		if least > 0 {
			t.Errorf("%s: %v allocations", source, least)
		}
	}
}

// BenchmarkThousandRules evaluates 1,000 rules for one request, none of which
// matches.
func BenchmarkThousandRules(b *testing.B) {
	var filters []*Filter
	for i := range 1000 {
		source := []string{
			`http.host eq "shopN.example.com" and http.request.uri.path eq "/login"`,
			`starts_with(http.request.uri.path, "/admin/N") and not ip.src in $office_network`,
			`ip.src in {192.0.2.B 198.51.100.0/24 203.0.113.7} and ssl`,
			`http.request.method in {"PUT" "DELETE"} and http.request.uri.path contains "/vN/"`,
			`any(http.request.headers["x-api-key"][*] eq "key-N")`,
			`http.user_agent contains "bot-N" or http.request.uri.query contains "debug=N"`,
			`http.request.uri.path wildcard "/files/N/*.exe"`,
			`lower(http.request.uri.path) eq "/wp-login-N.php"`,
			`len(http.request.uri.args["id"]) gt N`,
			`not ssl or cf.edge.server_port in {N 8080..8089}`,
		}[i%10]
		f, err := Compile(strings.NewReplacer("N", fmt.Sprint(i), "B", fmt.Sprint(i%256)).Replace(source), Options{Phase: Firewall, List: office})
		if err != nil {
			b.Fatal(err)
		}
		filters = append(filters, f)
	}
	x := sample()
	b.ReportAllocs()
	for b.Loop() {
		m, kept := x.memory, x.pairsMemory
		*x = *sampled
		m.reset()
		x.memory, x.pairsMemory = m, kept
		for i, f := range filters {
			if f.Match(x) {
				b.Fatal("rule ", i)
			}
		}
	}
}

var sampled = sample()

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile(`(http.host eq "api.example.com" and http.request.uri.path eq "/api/v2/auth") or (http.host matches "^(www|store|blog)\.example\.com" and http.request.uri.path contains "wp-login.php") and not ip.src in {11.22.33.0/24}`, Options{Phase: Firewall}); err != nil {
			b.Fatal(err)
		}
	}
}

// million makes a list of a million entries, three of four of them networks.
func million() []string {
	r := rand.New(rand.NewSource(1))
	entries := make([]string, 1_000_000)
	for i := range entries {
		var b [16]byte
		for j := range b {
			b[j] = byte(r.Intn(256))
		}
		a := netip.AddrFrom4([4]byte(b[:4]))
		if i%4 == 0 {
			a = netip.AddrFrom16(b)
		}
		entries[i] = netip.PrefixFrom(a, a.BitLen()/2+r.Intn(a.BitLen()/2+1)).Masked().String()
	}
	return entries
}

func BenchmarkMillionEntries(b *testing.B) {
	l, err := NewIPList(million())
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewSource(2))
	asked := make([]netip.Addr, 4096)
	for i := range asked {
		asked[i] = netip.AddrFrom4([4]byte{byte(r.Intn(256)), byte(r.Intn(256)), byte(r.Intn(256)), byte(r.Intn(256))})
	}
	i := 0
	for b.Loop() {
		l.Contains(asked[i%len(asked)])
		i++
	}
}

package rules

import (
	"math/rand"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

// A list says what a look at each of its entries says.
func TestListAgainstALinearSearch(t *testing.T) {
	entries := million()[:3000]
	l, err := NewIPList(entries)
	if err != nil {
		t.Fatal(err)
	}
	var networks []netip.Prefix
	for _, e := range entries {
		networks = append(networks, netip.MustParsePrefix(e))
	}
	r := rand.New(rand.NewSource(3))
	for range 3000 {
		a := networks[r.Intn(len(networks))].Addr()
		switch r.Intn(3) {
		case 0:
			a = a.Next()
		case 1:
			a = netip.AddrFrom4([4]byte{byte(r.Intn(256)), byte(r.Intn(256)), byte(r.Intn(256)), byte(r.Intn(256))})
		}
		want := false
		for _, n := range networks {
			want = want || n.Contains(a)
		}
		if got := l.Contains(a); got != want {
			t.Fatalf("%s: %v", a, got)
		}
	}
}

func TestLists(t *testing.T) {
	for entry, want := range map[string]string{
		"1.2.3.4/24": "the network 1.2.3.4/24 has bits after its 24 first: write 1.2.3.0/24",
		"1.2.3":      `"1.2.3" is neither an address nor a network`,
		"1.2.3.4/99": `"1.2.3.4/99" is not a network`,
		"fe80::1%e0": `"fe80::1%e0" is neither`,
	} {
		if _, err := NewIPList([]string{entry}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", entry, err)
		}
	}
	for _, entry := range []string{"", "*", "*.", "a*b", "https://a", "a b", ".a"} {
		if _, err := NewHostnameList([]string{entry}); err == nil {
			t.Errorf("%q is a hostname", entry)
		}
	}
	l, err := NewHostnameList([]string{"Example.com", "*.example.org", "*.a.example.net", "example.com"})
	if err != nil || l.Len() != 3 {
		t.Fatal(err, l.Len())
	}
	for host, want := range map[string]bool{
		"example.com": true, "www.example.com": false, "example.org": false, "a.example.org": true, "b.a.example.org": true,
		"badexample.org": false, "b.example.net": false, "c.a.example.net": true, "": false,
	} {
		if l.hosts.contains(host) != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
}

// A wildcard matches what the regular expression matches that it stands for,
// and its stars stand for what lazy groups capture.
func TestWildcardAgainstRegexp(t *testing.T) {
	r := rand.New(rand.NewSource(4))
	random := func(alphabet string, n int) string {
		b := make([]byte, r.Intn(n))
		for i := range b {
			b[i] = alphabet[r.Intn(len(alphabet))]
		}
		return string(b)
	}
	for range 20_000 {
		pattern, fold := random("aAb*", 7), r.Intn(2) == 0
		w, err := newWildcard(pattern, fold)
		if strings.Contains(pattern, "**") != (err != nil) {
			t.Fatalf("%q: %v", pattern, err)
		}
		if err != nil {
			continue
		}
		flags := "(?s)^"
		if fold {
			flags = "(?si)^"
		}
		re := regexp.MustCompile(flags + strings.ReplaceAll(pattern, "*", "(.*?)") + "$")
		s := random("aAbB", 8)
		want := re.FindStringSubmatchIndex(s)
		var got []int
		if is := w.captures(s, func(from, to int) { got = append(got, from, to) }); is != (want != nil) {
			t.Fatalf("%q wildcard %q (fold %v): %v", s, pattern, fold, is)
		}
		for i := range want {
			if i >= 2 && want[i] != got[i-2] {
				t.Fatalf("%q wildcard %q (fold %v): %v, want %v", s, pattern, fold, got, want)
			}
		}
	}
}

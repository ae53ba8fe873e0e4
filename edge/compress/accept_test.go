package compress

import (
	"strings"
	"testing"
)

func TestBest(t *testing.T) {
	for _, c := range []struct{ header, want string }{
		{"", "identity"},
		{"gzip", "gzip"},
		{"GZIP", "gzip"},
		{"x-gzip", "gzip"},
		{"gzip, deflate, br", "br"},
		{"gzip, deflate, br, zstd", "zstd"},
		{"*", "zstd"},
		{"gzip, *;q=0.5", "gzip"},
		{"zstd;q=0, *", "br"},
		{"br;q=0.5, gzip;q=0.8", "gzip"},
		{"br;q=0.8 , gzip ; q=0.8", "br"},
		{"gzip;q=0", "identity"},
		{"*;q=0", "identity"},
		{"identity;q=0, gzip;q=0.1", "gzip"},
		{"identity, gzip;q=0.5", "identity"},
		{"identity, gzip", "gzip"},
		{"identity;q=0.5, gzip;q=0.5, br;q=0.2", "gzip"},
		{"gzip;q=1.001", "identity"},
		{"gzip;q=0.0001", "identity"},
		{"gzip;q=", "identity"},
		{"gzip;level=9", "identity"},
		{"gzip;q=0, gzip", "identity"},
		{",,gzip,", "gzip"},
	} {
		if got := parseAccept([]string{c.header}).best().String(); got != c.want {
			t.Errorf("%q: %s, want %s", c.header, got, c.want)
		}
	}
}

// Whatever a client says, weights are from 0 to 1000, and what is chosen is
// taken and liked best.
func FuzzParseAccept(f *testing.F) {
	for _, s := range []string{"gzip, deflate, br, zstd", "*;q=0.1, gzip;q=0", "br;q=0.999,x-gzip;Q=1.000", "identity;q=0", "gzip;q=0.", ";q=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := parseAccept(strings.Split(s, "\n"))
		best := a.best()
		for c, q := range a {
			if q < 0 || q > 1000 {
				t.Fatalf("%s has the weight %d", coding(c), q)
			}
			if q > a[best] {
				t.Fatalf("%s was chosen, %s is liked better", best, coding(c))
			}
		}
		if best != identity && a[best] == 0 {
			t.Fatalf("%s was chosen and is not taken", best)
		}
		if lower := strings.ToLower(s); len(lower) == len(s) && parseAccept(strings.Split(lower, "\n")) != a {
			t.Fatal("capitals make a difference")
		}
	})
}

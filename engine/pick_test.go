package engine

import (
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
)

func TestOverride(t *testing.T) {
	const id = "dc8dcd28-271b-4367-9840-6c244f84cb40"
	for dictionary, want := range map[string]string{
		`api="` + id + `"`:                 id,
		`other="x", api="` + id + `"`:      id,
		`other="x",api = "y"`:              "", // no space around = in RFC 8941
		` api="` + id + `";a=1 , other=""`: id,
		`api=` + id:                        "",
		`api`:                              "",
		`xapi="` + id + `"`:                "",
		``:                                 "",
	} {
		if got := override(dictionary, "api"); got != want {
			t.Errorf("%s: %q, want %q", dictionary, got, want)
		}
	}
}

func FuzzOverride(f *testing.F) {
	f.Add(`api="dc8dcd28-271b-4367-9840-6c244f84cb40", other="x"`)
	f.Add(`api=";",,="`)
	f.Add(`api=""`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := override(s, "api"); got != "" && !strings.Contains(s, `"`+got+`"`) {
			t.Errorf("%q from %q", got, s)
		}
	})
}

func TestShareBoundaries(t *testing.T) {
	one, two := &config.Version{ID: "1"}, &config.Version{ID: "2"}
	shares := []config.Share{{Version: one, Percentage: 0.01}, {Version: two, Percentage: 99.99}}
	for at, want := range map[float64]*config.Version{0: one, 0.0099: one, 0.01: two, 50: two, 99.9999: two, 100: two} {
		if got := share(shares, at); got != want {
			t.Errorf("%v: version %s", at, got.ID)
		}
	}
	if got := share([]config.Share{{Version: one, Percentage: 0}, {Version: two, Percentage: 100}}, 0); got != two {
		t.Error("a share of nothing got a request")
	}
}

func TestBackOff(t *testing.T) {
	if backOff(1) != 0 {
		t.Error("the first failure makes wait")
	}
	for n := 2; n < 70; n++ {
		if d := backOff(n); d <= 0 || d < backOff(n-1) || d > maxBackOff {
			t.Errorf("after %d failures: %v", n, d)
		}
	}
}

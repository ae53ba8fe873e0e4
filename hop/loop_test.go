package hop

import (
	"net/http"
	"strings"
	"testing"
)

func TestLoops(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  int
	}{
		{nil, 0},
		{[]string{"cloudflare; loops=7; subreqs=1"}, 0},
		{[]string{"selvage"}, 1},
		{[]string{"selvage; loops=3"}, 3},
		{[]string{"fastly, Selvage;subreqs=1 ;LOOPS=12 , other"}, 12},
		{[]string{"selvage; loops=1, selvage; loops=2", "selvage;loops=3"}, 3},
		{[]string{"selvage, selvage", "selvage"}, 3}, // somebody has dropped the numbers
		{[]string{"selvage; loops=-1"}, 1},
		{[]string{"selvage; loops=99999999999999999999"}, 1},
		{[]string{"notselvage; loops=3, selvage.example; loops=4"}, 0},
		{[]string{",,;,selvage;;=;loops"}, 1},
	} {
		h := http.Header{"Cdn-Loop": c.lines}
		if got := Loops(h); got != c.want {
			t.Errorf("%q: %d, want %d", c.lines, got, c.want)
		}
	}
	h := http.Header{"Cdn-Loop": {"fastly", "cloudflare; loops=1"}}
	AddLoop(h, 1)
	AddLoop(h, 2)
	if got := h["Cdn-Loop"]; len(got) != 1 || got[0] != "fastly, cloudflare; loops=1, selvage; loops=1, selvage; loops=2" {
		t.Errorf("%q", got)
	}
}

func FuzzLoops(f *testing.F) {
	for _, s := range []string{"", "selvage", "selvage; loops=3", "a; b=\"c, d\", selvage;loops=2", ",;=", "selvage; loops=-9223372036854775808"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		h := http.Header{"Cdn-Loop": {line}}
		n := Loops(h)
		if n < 0 || n > 0 && !strings.Contains(strings.ToLower(line), loopName) {
			t.Fatalf("%q: %d", line, n)
		}
		if n > 1<<30 {
			return
		}
		AddLoop(h, n+1)
		if quoted := strings.Contains(line, `"`); !quoted && Loops(h) != n+1 {
			t.Fatalf("%q and one more: %d", line, Loops(h))
		}
	})
}

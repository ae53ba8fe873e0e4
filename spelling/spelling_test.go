package spelling_test

import (
	"testing"

	"github.com/selvage-edge/selvage/spelling"
)

func TestNearest(t *testing.T) {
	names := []string{"lower", "upper", "len"}
	for _, c := range []struct {
		name string
		most int
		want string
	}{
		{"lower", 0, "lower"},
		{"loweer", 1, "lower"},
		{"lowr", 1, "lower"},
		{"lover", 1, "lower"},
		{"lover", 0, ""},
		{"upoer", 2, "upper"},
		{"per", 2, "upper"},
		{"xxxer", 3, "lower"}, // of two, the first
		{"", 3, "len"},
		{"something", 3, ""},
	} {
		if got := spelling.Nearest(c.name, c.most, names); got != c.want {
			t.Errorf("%q, at most %d: %q, want %q", c.name, c.most, got, c.want)
		}
	}
}

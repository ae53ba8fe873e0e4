package engine

import (
	"strings"
	"testing"
)

// FuzzBookmark: what is read as a bookmark of an object is what is written as that,
// and sorts as its time does.
func FuzzBookmark(f *testing.F) {
	o := objectID{key: "past-Room", id: strings.Repeat("0a", 32)}
	f.Fuzz(func(t *testing.T, text string, time uint64) {
		if b, err := o.parse(text); err == nil && o.format(b) != text {
			t.Errorf("%q is read as %d, which is %q", text, b, o.format(b))
		}
		written := o.format(time)
		if b, err := o.parse(written); err != nil || b != time {
			t.Errorf("%q is read as %d, %v, want %d", written, b, err, time)
		}
		if time > 0 && o.format(time-1) >= written {
			t.Errorf("%q does not sort before %q", o.format(time-1), written)
		}
		if _, err := (objectID{key: "past-Hall", id: o.id}).parse(written); err == nil {
			t.Error("it is a bookmark of an object of another class, too")
		}
	})
}

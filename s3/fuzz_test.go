package s3

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/selvage-edge/selvage/binding/r2"
)

// FuzzDocument: whatever a client sends as XML is a document within the bounds, or
// refused; and what is read of one holds to the limits.
func FuzzDocument(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := parseDocument(data)
		if err != nil {
			if err != errMalformedXML {
				t.Fatal(err)
			}
			return
		}
		var walk func(e *element, depth int)
		walk = func(e *element, depth int) {
			if depth > maxDepth || e.name == "" || len(e.name) > maxNameSize || !utf8.ValidString(e.content) || len(e.children) > 0 && e.content != "" {
				t.Fatalf("element %+v at depth %d", e, depth)
			}
			for _, child := range e.children {
				walk(child, depth+1)
			}
		}
		walk(root, 1)
		if parts, err := partsOf(root); err == nil {
			for i, p := range parts {
				if p.ETag == "" || i > 0 && p.Number <= parts[i-1].Number {
					t.Fatalf("parts %+v", parts)
				}
			}
		}
		if keys, _, err := keysOf(root); err == nil && (len(keys) == 0 || len(keys) > r2.MaxDeleteKeys) {
			t.Fatalf("%d keys", len(keys))
		}
		if rules, err := corsOf(root); err == nil && len(rules) == 0 {
			t.Fatal("no rules")
		}
		if rules, err := rulesOf(root); err == nil {
			for _, r := range rules {
				if r.ID == "" || r.Delete != nil && r.Delete.Condition.Type == "" {
					t.Fatalf("rule %+v", r)
				}
			}
		}
	})
}

// FuzzEscape: a text in a document of ours is read as it was, as far as XML has
// its characters.
func FuzzEscape(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		d := &document{}
		d.text("a", s)
		printable := strings.Map(func(c rune) rune {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0xfffe || c == 0xffff {
				return -1
			}
			return c
		}, strings.ToValidUTF8(s, "\ufffd"))
		if !utf8.ValidString(s) || printable != s {
			if !utf8.Valid(d.b) {
				t.Fatalf("%q is not UTF-8", d.b)
			}
			return
		}
		e, err := parseDocument(d.b)
		if err != nil || e.content != s {
			t.Fatalf("%q became %q: %+v, %v", s, d.b, e, err)
		}
	})
}

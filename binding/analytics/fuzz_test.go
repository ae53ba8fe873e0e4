package analytics

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// Whatever a client sends is refused, or is a statement that SQLite takes and
// that changes nothing.
func FuzzQuery(f *testing.F) {
	s := open(f, Options{})
	write(f, s, "set", Point{Index: "a", Blobs: []string{"b", "2026-01-01"}, Doubles: []float64{1, 2}}, Point{})
	if err := s.Flush(context.Background()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		st, err := parse(text)
		var wrong *InputError
		if err != nil {
			if !errors.As(err, &wrong) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if st.query == nil {
			return
		}
		c, err := compile(st.query, noon, func(name string) (string, bool) { return tableName(1), name == "set" })
		if err != nil {
			if !errors.As(err, &wrong) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		err = s.db.Read(context.Background(), func(conn *sqlite.Conn) error {
			st, err := conn.Prepare(c.sql)
			if err != nil {
				return err
			}
			defer st.Done()
			if !st.ReadOnly() || st.BindCount() > len(c.args) || st.ColumnCount() != len(c.columns) {
				t.Errorf("%q became %s, with %d parameters and %d columns", text, c.sql, len(c.args), len(c.columns))
			}
			return nil
		})
		if err != nil && !strings.Contains(err.Error(), "too many") && !strings.Contains(err.Error(), "overflow") {
			t.Errorf("%q became %s: %v", text, c.sql, err)
		}
		if _, err := s.Query(context.Background(), text); err != nil && !errors.As(err, &wrong) {
			t.Errorf("%q, which is %s: %v", text, c.sql, err)
		}
	})
}

// What the runtime sends is a point within the limits, or refused.
func FuzzPoint(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := decodePoint(body)
		if err == nil && (len(p.Blobs) > MaxBlobs || len(p.Doubles) > MaxDoubles) {
			t.Errorf("%+v", p)
		}
	})
}

// The matcher of LIKE agrees with a plain one, and takes no time to speak of.
func FuzzLike(f *testing.F) {
	f.Fuzz(func(t *testing.T, subject, pattern string) {
		if len(subject) > 12 || len(pattern) > 6 {
			like(subject, pattern)
			return
		}
		if got, want := like(subject, pattern), plainLike([]rune(subject), []rune(pattern)); got != want {
			t.Errorf("%q LIKE %q: %t, want %t", subject, pattern, got, want)
		}
	})
}

func plainLike(s, p []rune) bool {
	if len(p) == 0 {
		return len(s) == 0
	}
	if p[0] == '%' {
		return plainLike(s, p[1:]) || len(s) > 0 && plainLike(s[1:], p)
	}
	escaped := p[0] == '\\' && len(p) > 1 && strings.ContainsRune(`%_\`, p[1])
	if escaped {
		p = p[1:]
	}
	return len(s) > 0 && (s[0] == p[0] || p[0] == '_' && !escaped) && plainLike(s[1:], p[1:])
}

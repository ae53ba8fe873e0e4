package d1

import (
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCut(t *testing.T) {
	tests := []struct {
		sql  string
		want []string // without the blank ones
	}{
		{"", nil},
		{" ; ;; -- c\n /* ; */", nil},
		{"SELECT 1", []string{"SELECT 1"}},
		{"SELECT 1; SELECT 2;", []string{"SELECT 1;", " SELECT 2;"}},
		{"SELECT ';', \";\", `;`, [;]; x", []string{"SELECT ';', \";\", `;`, [;];", " x"}},
		{"SELECT 'a'';b'; x", []string{"SELECT 'a'';b';", " x"}},
		{"SELECT 1 -- ; '\n; x", []string{"SELECT 1 -- ; '\n;", " x"}},
		{"SELECT 1 /* ; ' */; x", []string{"SELECT 1 /* ; ' */;", " x"}},
		{"SELECT 'open; x", []string{"SELECT 'open; x"}},
		{"SELECT 1 /* open; x", []string{"SELECT 1 /* open; x"}},
		{"CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT CASE 1 WHEN 1 THEN 2 END; END; x",
			[]string{"CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT CASE 1 WHEN 1 THEN 2 END; END;", " x"}},
		{"create temp trigger t after insert on a begin select 1; end; x", []string{"create temp trigger t after insert on a begin select 1; end;", " x"}},
		{"EXPLAIN CREATE TRIGGER t BEGIN SELECT 1; END; x", []string{"EXPLAIN CREATE TRIGGER t BEGIN SELECT 1; END;", " x"}},
		{"CREATE TABLE trigger_x(a); x", []string{"CREATE TABLE trigger_x(a);", " x"}},
		{"CREATE TABLE a(b DEFAULT 'TRIGGER'); x", []string{"CREATE TABLE a(b DEFAULT 'TRIGGER');", " x"}},
	}
	for _, tt := range tests {
		if got := statements(tt.sql); !slices.Equal(got, tt.want) {
			t.Errorf("%q is cut into %q, want %q", tt.sql, got, tt.want)
		}
	}
}

func statements(sql string) []string {
	var list []string
	for sql != "" {
		var s string
		if s, sql, _ = cut(sql); !blank(s) {
			list = append(list, s)
		}
	}
	return list
}

// FuzzCut: the pieces are the text, and reading the text bit by bit gives the
// same statements.
func FuzzCut(f *testing.F) {
	for _, s := range []string{"SELECT 1; SELECT 'a;''b' -- c;\n; x", "CREATE TRIGGER t BEGIN SELECT 1; END; /* ;", "[;];`;\"", ";;--\n;", "é;\x00;\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		joined := ""
		for rest := sql; rest != ""; {
			var s string
			s, rest, _ = cut(rest)
			if s == "" {
				t.Fatalf("cutting %q makes no progress", rest)
			}
			joined += s
		}
		if joined != sql {
			t.Fatalf("%q is cut into pieces of %q", sql, joined)
		}
		if blank(sql) != (len(statements(sql)) == 0) {
			t.Fatalf("blank(%q) is %t with statements %q", sql, blank(sql), statements(sql))
		}
		r := statementReader{r: iotest.HalfReader(strings.NewReader(sql))}
		for _, want := range statements(sql) {
			got, err := r.next()
			if err != nil || strings.TrimLeft(got, " \t\r\n;") != strings.TrimLeft(want, " \t\r\n;") {
				t.Fatalf("reading %q gives %q %v, want %q", sql, got, err, want)
			}
		}
	})
}

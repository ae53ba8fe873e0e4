package bundle

import "testing"

func TestGlobs(t *testing.T) {
	tests := []struct {
		glob, path string
		want       bool
	}{
		{"**/*.txt", "a.txt", true},
		{"**/*.txt", "./a.txt", true},
		{"**/*.txt", "../x/y/a.txt", true},
		{"**/*.txt", "a.txt.js", false},
		{"*.txt", "a.txt", true},
		{"*.txt", "x/a.txt", false},
		{"lang/*.mjs", "lang/de.mjs", true},
		{"lang/*.mjs", "lang/x/de.mjs", false},
		{"lang/**", "lang/x/de.mjs", true},
		{"a/**/b.js", "a/b.js", true},
		{"**/*.wasm?module", "./a.wasm?module", true},
		{"**/*.wasm", "./a.wasm?module", false},
		{"a.c", "abc", false},
	}
	for _, tt := range tests {
		rs, err := compileRules(Options{Rules: []Rule{{Type: "Data", Globs: []string{tt.glob}, Fallthrough: true}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := rs[0].pattern.MatchString(tt.path); got != tt.want {
			t.Errorf("%s on %s: %t", tt.glob, tt.path, got)
		}
	}
}

// Of an import a star stands for directories, too, as wrangler has it.
func TestGlobsOfImports(t *testing.T) {
	tests := []struct {
		glob, specifier string
		want            bool
	}{
		{"*.md", "./docs/a.md", true},
		{"*.md", "a.md", true},
		{"*.md", "./a.md.js", false},
		{"**/*.md", "a.md", false},
		{"docs/*.md", "./docs/a.md", false},
		{"*.md?raw", "./docs/a.md?raw", true},
	}
	for _, tt := range tests {
		rs, err := compileRules(Options{Rules: []Rule{{Type: "Data", Globs: []string{tt.glob}, Fallthrough: true}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, got := rs.matchImport(tt.specifier); got != tt.want {
			t.Errorf("%s on %s: %t", tt.glob, tt.specifier, got)
		}
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("**/*.{a,b}[c]?(", "x/y.a")
	f.Fuzz(func(t *testing.T, glob, path string) {
		rs, err := compileRules(Options{Rules: []Rule{{Type: "Text", Globs: []string{glob}}}})
		if err != nil {
			return // not UTF-8
		}
		rs.match(path)
		rs.matchImport(path)
	})
}

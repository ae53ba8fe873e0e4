package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

var fuzzTest = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// Every fuzz test has inputs chosen by hand in testdata/fuzz, and no inputs are
// left behind by a fuzz test that is gone.
func TestFuzzersHaveACorpus(t *testing.T) {
	found := 0
	walk(t, func(dir string, files []os.DirEntry) {
		var names []string
		for _, f := range files {
			if !isTest(f.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range fuzzTest.FindAllSubmatch(text, -1) {
				names = append(names, string(m[1]))
			}
		}
		found += len(names)
		for _, name := range names {
			corpus := filepath.Join(dir, "testdata", "fuzz", name)
			if inputs, _ := os.ReadDir(corpus); len(inputs) == 0 {
				t.Errorf("%s has no inputs in %s: choose some by hand", name, corpus)
			}
		}
		left, _ := os.ReadDir(filepath.Join(dir, "testdata", "fuzz"))
		for _, l := range left {
			if !slices.Contains(names, l.Name()) {
				t.Errorf("%s belongs to no fuzz test", filepath.Join(dir, "testdata", "fuzz", l.Name()))
			}
		}
	})
	if found < 30 {
		t.Errorf("found %d fuzz tests: does the search still work?", found)
	}
}

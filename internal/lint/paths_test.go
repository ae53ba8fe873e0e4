package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// written finds what a document writes as code, and where its links lead.
var written = regexp.MustCompile("`([^`\\s]+)`|\\]\\(([^)#\\s]+)")

// Every path of a file or folder in a document exists. Code is taken for a path
// if it begins with a folder of the root; a link is relative to its document,
// unless it leads to another site.
func TestDocumentsNameWhatExists(t *testing.T) {
	root := filepath.Join("..", "..")
	exists := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	checked := 0
	walk(t, func(dir string, files []os.DirEntry) {
		for _, document := range files {
			if filepath.Ext(document.Name()) != ".md" {
				continue
			}
			file := filepath.Join(dir, document.Name())
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(text), "\n") {
				for _, m := range written.FindAllStringSubmatch(line, -1) {
					code, link := m[1], m[2]
					if strings.Contains(code+link, ":") {
						continue
					}
					path := filepath.Join(dir, link)
					if link == "" {
						top, _, nested := strings.Cut(code, "/")
						mine := top != "" && (top[0] != '.' || top == ".ci") // others are left by tools
						if !nested || !mine || !exists(filepath.Join(root, top)) || strings.ContainsAny(code, "<>*{}()…,=") {
							continue
						}
						path = filepath.Join(root, code)
					}
					checked++
					if !exists(path) {
						t.Errorf("%s:%d: there is no %s", file, i+1, code+link)
					}
				}
			}
		}
	})
	if checked < 100 {
		t.Errorf("found %d paths in the documents: does the search still work?", checked)
	}
}

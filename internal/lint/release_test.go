package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The version is stamped into a variable that exists, and goreleaser and
// deploy/release put the same files, which exist, into the archives.
func TestRelease(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	config, script := read(".goreleaser.yaml"), read("deploy/release")
	const flag = "-s -w -X " + module + "/cli.release="
	if !strings.Contains(config, flag+"{{ .Tag }}") || !strings.Contains(script, flag+"$version") {
		t.Error("the version is not stamped, or not in the same way")
	}
	if !strings.Contains(read("cli/version.go"), "\nvar release string\n") {
		t.Error("cli.release, which the linker sets, is not there")
	}
	_, list, _ := strings.Cut(config, "    files:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	files := regexp.MustCompile(`(?m)^      - (?:src: )?(\S+)$`).FindAllStringSubmatch(list, -1)
	if len(files) < 6 {
		t.Fatalf("%d files in the archives of .goreleaser.yaml: is its list read rightly?", len(files))
	}
	var names []string
	for _, f := range files {
		names = append(names, f[1])
		if _, err := os.Stat(filepath.Join("..", "..", f[1])); err != nil {
			t.Error(err)
		}
	}
	if want := "cp " + strings.Join(names, " ") + " "; !strings.Contains(script, want) {
		t.Errorf("deploy/release does not %s", want)
	}
}

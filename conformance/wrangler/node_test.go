package wrangler

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/servertest"
)

// report is what testdata/node tells: the kind of every property, by module or
// global and then by name.
type report map[string]map[string]string

// nodeDates are dates around which much of Node.js became native.
var nodeDates = []string{"2024-09-23", "2025-03-15", "2025-10-08", "2026-03-01", "2026-11-17"}

// nodeCLIs are the wranglers to compare with, and why something may differ.
var nodeCLIs = []struct {
	name  string
	dates []string
	// without are imports that the wrangler cannot bundle.
	without string
	// differ are names of properties, with the reason.
	differ map[string]string
}{
	{"new", nodeDates, "", map[string]string{
		"createTask": "of the console, for the inspector that wrangler dev always attaches",
	}},
	{"old", nodeDates[:4], "node:sqlite", map[string]string{ // its runtime is older than the last date
		"createTask":                     "of the console, for the inspector that wrangler dev always attaches",
		"Assert":                         "new in the runtime since",
		"BoundSocket":                    "new in the runtime since",
		"convertProcessSignalToExitCode": "new in the runtime since",
		"diff":                           "new in the runtime since",
		"diffieHellman":                  "new in the runtime since",
		"setTraceSigInt":                 "new in the runtime since",
	}},
}

// TestNode compares Node.js of a Worker under `wrangler dev` and `selvage dev`,
// module by module and global by global.
func TestNode(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Node.js and minutes")
	}
	selvage, err := servertest.Program()
	if err != nil {
		t.Fatal(err)
	}
	for _, cli := range nodeCLIs {
		wrangler := servertest.Wrangler(t, cli.name)
		for _, date := range cli.dates {
			t.Run(cli.name+"/"+date, func(t *testing.T) {
				dir := nodeProject(t, date, cli.without)
				want := runDev(t, dir, wrangler.Path, wrangler.Program, "--ip", "127.0.0.1", "--inspector-port", "0")
				got := runDev(t, dir, wrangler.Path, selvage)
				for _, where := range slices.Sorted(maps.Keys(want)) {
					for name, kind := range want[where] {
						if got[where][name] != kind && cli.differ[name] == "" {
							t.Errorf("%s: %s is %q, under wrangler %q", where, name, got[where][name], kind)
						}
					}
				}
				for where := range got {
					for name, kind := range got[where] {
						if _, there := want[where][name]; !there && cli.differ[name] == "" {
							t.Errorf("%s: %s is %q, under wrangler not there", where, name, kind)
						}
					}
				}
			})
		}
	}
}

// nodeProject is the Worker of testdata/node at a date.
func nodeProject(t *testing.T, date, without string) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("testdata", "node", "index.js"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	if without != "" {
		name := regexp.MustCompile(`import \* as (\w+) from "` + without + `";\n`).FindStringSubmatch(text)
		if name == nil {
			t.Fatalf("the Worker does not import %s", without)
		}
		text = strings.Replace(text, name[0], "const "+name[1]+" = {};\n", 1)
	}
	dir := t.TempDir()
	config := fmt.Sprintf(`{"name": "node", "main": "index.js", "compatibility_date": %q, "compatibility_flags": ["nodejs_compat"]}`, date)
	for name, data := range map[string]string{"index.js": text, "wrangler.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runDev starts a development server in dir and asks the Worker.
func runDev(t *testing.T, dir, path, program string, args ...string) report {
	t.Helper()
	url, refusal := servertest.Dev(t, dir, []string{"PATH=" + path}, program, args...)
	if url == "" {
		t.Fatal(refusal)
	}
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var r report
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		t.Fatalf("%s answered %s: %v", program, resp.Status, err)
	}
	return r
}

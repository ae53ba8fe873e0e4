// Package lint tests the shape of the repository itself.
package lint

import (
	"go/build"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/selvage-edge/selvage"

// products stands for all folders below binding/.
const products = "binding/*"

// floors lists the packages from the ground up. A package may import packages
// of lower floors, and of its own floor only where allowed says so.
var floors = [][]string{
	{"config", "fault", "telemetry", "api", "npm", "hop/target", "hop/await", "storage/disk", "spelling"}, // words and tools
	{"rules"}, // the Rules language
	{"storage/sqlite", "storage/blob", "storage/keyed", "storage/backup", "storage/budget", "storage/capture", "hop", "edge/http1",
		"engine/workerd", "engine/sandbox", "engine/cgroup", "project/nodecompat", "mail", "ruleset", "s3/sigv4"}, // bytes, processes, hops
	{"storage/history", "project/bundle", "hop/ask"}, // storage on storage, bundles with what fills in Node.js, calls from a cell
	{"binding", "project/manifest", "cli/settings"},  // contracts
	{"cron"},           // a dialect and its clock, which products and planes share
	{products},         // the kinds of binding
	{"engine/program"}, // Workers in Go
	{"engine"},         // which version runs where
	{"edge", "egress", "control/auth", "control/state", "s3"},                             // the planes' parts
	{"edge/compress", "edge/redirect", "edge/rewrite", "edge/firewall", "edge/transform"}, // stages of the edge
	{"control"},                       // the REST API
	{"platform"},                      // the one place where everything is put together
	{"project"},                       // a wrangler project on this machine
	{"cli/dev", "cli/serve"}, {"cli"}, // the commands
	{""},                           // the library
	{"selvagetest", "cmd/selvage"}, // programs
}

// allowed names imports within one floor, with the reason.
var allowed = map[string]string{
	"control/auth -> control/state":      "API tokens and the audit log are records of the control plane's state",
	"binding/durable -> binding/service": "for a caller in Go a Durable Object is a service",
}

// eachPackage calls f with every package of the product, by its folder; the
// root is "".
func eachPackage(t *testing.T, f func(rel string, pkg *build.Package)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		if rel == "." {
			rel = ""
		}
		switch top, _, _ := strings.Cut(rel, "/"); {
		case strings.HasPrefix(d.Name(), ".") && rel != "", d.Name() == "testdata", d.Name() == "node_modules",
			top == "internal", top == "examples", top == "bench", top == "conformance", top == "docs", top == "deploy":
			return filepath.SkipDir
		}
		if pkg, err := build.ImportDir(path, 0); err == nil { // otherwise no Go files are here
			f(rel, pkg)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// floorOf returns the floor of each package. A product is on the floor of
// bindings without being listed.
func floorOf() func(rel string) (int, bool) {
	floor := map[string]int{}
	for i, names := range floors {
		for _, n := range names {
			floor[n] = i
		}
	}
	return func(rel string) (int, bool) {
		if strings.HasPrefix(rel, "binding/") {
			rel = products
		}
		i, ok := floor[rel]
		return i, ok
	}
}

func TestImportsPointDown(t *testing.T) {
	floor := floorOf()
	eachPackage(t, func(rel string, pkg *build.Package) {
		mine, ok := floor(rel)
		if !ok {
			t.Errorf("package %q stands on no floor: add it to floors, or put the code where it belongs", rel)
			return
		}
		for _, imp := range pkg.Imports {
			if imp != module && !strings.HasPrefix(imp, module+"/") {
				continue
			}
			name := strings.TrimPrefix(strings.TrimPrefix(imp, module), "/")
			if strings.HasPrefix(name, "internal/") {
				continue
			}
			theirs, ok := floor(name)
			if ok && (theirs < mine || allowed[rel+" -> "+name] != "") {
				continue
			}
			t.Errorf("%s imports %s: imports point down", rel, name)
		}
	})
}

package nodecompat

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"github.com/selvage-edge/selvage/npm"
)

// pinned are the packages as wrangler 4.164.0 depends on them. They are used
// where the project has no wrangler.
var pinned = []npm.Package{
	{Name: "unenv", Version: "2.0.0-rc.24", Integrity: "sha512-i7qRCmY42zmCwnYlh9H2SvLEypEFGye5iRmEMKjcGi7zk9UquigRjFtTLz0TYqr0ZGLZhaMHl/foy1bZR+Cwlw=="},
	{Name: "@cloudflare/unenv-preset", Version: "2.16.2", Integrity: "sha512-JBP1+Z7ZSNG/d4mRP+y8VC5dka3tZVMLEZRvS+rzQ4DGV1EoxRFQckcJTTkXbHSQiTj0DtNI01Zwb/V2fX0mvQ=="},
}

// pinnedSet is the folder of the user's cache that has them.
const pinnedSet = "nodecompat/2.0.0-rc.24+2.16.2"

// fetch returns a folder from which the pinned packages can be imported.
func fetch(ctx context.Context, progress io.Writer) (dir string, err error) {
	for _, p := range pinned {
		p.Title, p.Instead = p.Name, "install wrangler in the project (npm install --save-dev wrangler), which brings it along"
		if dir, err = p.Install(ctx, pinnedSet, progress); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// installed returns the folder of the wrangler that the project in dir has, if
// the packages can be imported from there.
func installed(dir string) (wrangler string, ok bool) {
	if wrangler, ok = find(dir, "wrangler"); !ok {
		return "", false
	}
	for _, p := range pinned {
		if _, ok := find(wrangler, p.Name); !ok {
			return "", false
		}
	}
	return wrangler, true
}

// find returns the folder of a package as a file in dir imports it, links
// followed: in the nearest node_modules upwards.
func find(dir, name string) (string, bool) {
	for {
		found := filepath.Join(dir, "node_modules", filepath.FromSlash(name))
		if _, err := os.Stat(filepath.Join(found, "package.json")); err == nil {
			real, err := filepath.EvalSymlinks(found)
			return real, err == nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

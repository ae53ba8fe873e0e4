package workerd

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/selvage-edge/selvage/npm"
)

// Version is the release of workerd that Selvage is built and tested with.
//
// Source: https://www.npmjs.com/package/workerd
const Version = "1.20261117.1"

// Variable is the environment variable that names another workerd binary.
const Variable = "SELVAGE_WORKERD"

// pins has one package for each platform.
var pins = map[string]npm.Package{
	"linux/amd64": {Name: "@cloudflare/workerd-linux-64", Integrity: "sha512-gZLA8X11m/luZwn+YA3+mDu61vdxNJzpksP/QZqjydKTQ+VUCulsK5gtn9Bqst1p3KJu2kafQpJ1nDQv4B23jA=="},
	"linux/arm64": {Name: "@cloudflare/workerd-linux-arm64", Integrity: "sha512-gxWngFojq41ULKNKb9rpWYvKotN5hT2I/xot+Bpy31cXzrwcTgtDLSMb2t75sW5BJxH7hihFvikgYb577kB3Zg=="},
}

// set is the folder of the user's cache that has the engine.
const set = "workerd/" + Version

// release is the package for this machine.
func release() (npm.Package, error) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	p, ok := pins[platform]
	if !ok {
		return p, fmt.Errorf("find workerd: version %s is not published for %s: set %s to a workerd binary for this machine",
			Version, platform, Variable)
	}
	p.Version, p.Title, p.Instead = Version, "workerd", "set "+Variable+" to a workerd binary"
	return p, nil
}

// named returns the binary that SELVAGE_WORKERD names, or "".
func named() (string, error) {
	path := os.Getenv(Variable)
	if path == "" {
		return "", nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("find workerd: %s: %w", Variable, err)
	case info.IsDir() || info.Mode()&0o111 == 0:
		return "", fmt.Errorf("find workerd: %s names %s, which is not an executable file", Variable, path)
	}
	return path, nil
}

// Binary returns the path of a workerd binary. SELVAGE_WORKERD names one;
// otherwise it is [Version], kept in the user's cache directory and fetched
// from the npm registry when it is not there yet, see [npm.Package.Install].
func Binary(ctx context.Context, progress io.Writer) (string, error) {
	return find(func(p npm.Package) (string, error) { return p.Install(ctx, set, progress) })
}

// Cached is Binary without a download: the error is fs.ErrNotExist when the
// binary would have to be fetched first.
func Cached() (string, error) {
	return find(func(p npm.Package) (string, error) { return p.Installed(set) })
}

func find(installed func(npm.Package) (string, error)) (string, error) {
	if path, err := named(); path != "" || err != nil {
		return path, err
	}
	p, err := release()
	if err != nil {
		return "", err
	}
	dir, err := installed(p)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "bin", "workerd"), nil
}

// Package npm keeps packages of the npm registry in the user's cache
// directory. Each is pinned to a version and to the digest of its tarball, so
// that exactly what was tested runs.
package npm

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// defaultRegistry is used when npm_config_registry is not set.
const defaultRegistry = "https://registry.npmjs.org"

// Package is one release of a package.
type Package struct {
	// Name is the registry's, with the scope.
	Name, Version string
	// Integrity is the digest of the tarball: "sha512-" and base64.
	Integrity string
	// Title is what messages call the package.
	Title string
	// Instead ends the sentence "check the network, or …" for those who cannot
	// fetch it.
	Instead string
}

// Install returns the folder of the package, fetching it from the registry
// (npm_config_registry is honoured) when it is not there yet. The packages of
// one set lie in one node_modules folder below <user's cache>/selvage/<set> and
// can import each other.
//
// The progress of a download goes to progress: a bar on a terminal, lines
// elsewhere; nil for none. Install may be called by several goroutines and
// processes at once: one downloads, the others wait. A failed or killed
// download leaves nothing that a later call would take for the package.
func (p Package) Install(ctx context.Context, set string, progress io.Writer) (dir string, err error) {
	root, err := p.root(set)
	if err != nil {
		return "", err
	}
	dir = p.below(root)
	if present(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("download %s: %w", p.Title, err)
	}
	unlock, err := lock(ctx, filepath.Join(root, "lock"))
	if err != nil {
		return "", fmt.Errorf("download %s: lock %s: %w", p.Title, root, err)
	}
	defer unlock()
	if present(dir) { // another process was faster
		return dir, nil
	}
	// Only a killed process leaves one of these.
	stale, _ := filepath.Glob(filepath.Join(root, "*.partial"))
	for _, name := range stale {
		os.RemoveAll(name)
	}
	registry := os.Getenv("npm_config_registry")
	if registry == "" {
		registry = defaultRegistry
	}
	if err := p.fetch(ctx, strings.TrimRight(registry, "/"), root, dir, progress); err != nil {
		return "", err
	}
	return dir, nil
}

// Installed is Install without a download: the error is fs.ErrNotExist when
// the package would have to be fetched first.
func (p Package) Installed(set string) (dir string, err error) {
	root, err := p.root(set)
	if err != nil {
		return "", err
	}
	if dir = p.below(root); !present(dir) {
		return "", fmt.Errorf("find %s: %s: %w", p.Title, dir, fs.ErrNotExist)
	}
	return dir, nil
}

func (p Package) root(set string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find %s: no cache directory (%w): set XDG_CACHE_HOME, or %s", p.Title, err, p.Instead)
	}
	return filepath.Join(cache, "selvage", filepath.FromSlash(set)), nil
}

func (p Package) below(root string) string {
	return filepath.Join(root, "node_modules", filepath.FromSlash(p.Name))
}

func present(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

// url is where the registry has the tarball: the scope is part of the path but
// not of the file's name.
func (p Package) url(registry string) string {
	file := p.Name[strings.LastIndex(p.Name, "/")+1:]
	return fmt.Sprintf("%s/%s/-/%s-%s.tgz", registry, p.Name, file, p.Version)
}

package manifest

import (
	"os"
	"path/filepath"
)

// Site is the key of that name: Workers Sites.
//
// Source: https://developers.cloudflare.com/workers/configuration/sites/configuration/
type Site struct {
	// Bucket is the folder of the files.
	Bucket string
	// Include and Exclude are patterns as in .gitignore. Without any in Include
	// all files are in the site; those of Exclude are never.
	Include, Exclude []string
}

// SiteFiles is the binding to a site's files.
const SiteFiles = "__STATIC_CONTENT"

// main is the entry point as the configuration has it, and where: a Workers
// Site had its own key for it, and a default.
func (l *loader) main() (*node, string) {
	main, path := l.get("main")
	site, _ := l.get("site")
	old := site.get("entry-point")
	switch {
	case site == nil || main != nil && old == nil:
	case main != nil:
		l.errorf(old, "site.entry-point", "main and site.entry-point exclude each other; remove site.entry-point")
	case old == nil:
		main, path = &node{kind: isString, text: "workers-site/index.js", line: site.line, col: site.col}, "site"
		l.warnf(site, path, "there is no main; using %q. Add main = %[1]q", main.text)
	default:
		file := old.str()
		if filepath.Ext(file) == "" {
			file += "/index.js"
		}
		main, path = &node{kind: isString, text: file, line: old.line, col: old.col}, "site.entry-point"
		l.warnf(old, path, "is deprecated; remove it and add main = %q", file)
	}
	return main, path
}

// EntryFile finds the file that a path without an extension means, as esbuild
// does; otherwise it returns the path.
func EntryFile(path string) string {
	if filepath.Ext(path) != "" {
		return path
	}
	for _, ext := range []string{".tsx", ".ts", ".jsx", ".js"} {
		if info, err := os.Stat(path + ext); err == nil && info.Mode().IsRegular() {
			return path + ext
		}
	}
	return path
}

func (l *loader) loadSite() {
	n, path := l.get("site")
	if n == nil {
		return
	}
	if l.m.Assets != nil {
		l.errorf(n, path, "assets and site exclude each other; keep one")
	}
	s := &Site{Bucket: l.path(n.get("bucket").str())}
	n.get("include").decode(&s.Include)
	n.get("exclude").decode(&s.Exclude)
	if info, err := os.Stat(s.Bucket); l.m.Build.Command == "" && (err != nil || !info.IsDir()) {
		l.errorf(n.get("bucket"), path+".bucket", "there is no directory %s", s.Bucket)
	}
	l.m.Site = s
}

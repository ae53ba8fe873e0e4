package manifest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxBytes bounds a configuration file.
const maxBytes = 1 << 20

// fileNames are the configuration files, in the order in which wrangler looks.
var fileNames = []string{"wrangler.json", "wrangler.jsonc", "wrangler.toml"}

// Find returns the configuration file that path names or, where path is a
// directory, the one in it.
func Find(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("open project: %w", err)
	}
	if !info.IsDir() {
		return path, nil
	}
	for _, name := range fileNames {
		file := filepath.Join(path, name)
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s has no wrangler.json, wrangler.jsonc or wrangler.toml: name a project's directory or its configuration file", path)
}

// Load reads the manifest at path: a configuration file, or a directory that
// has one. Where a build tool has left a redirect in the directory, the
// configuration that it generated is read in place of the user's. The warnings
// are worth showing even beside an error, which is of type [Problems] when the
// manifest is at fault.
func Load(path string, opts Options) (*Manifest, []Warning, error) {
	shown, redirected, err := readRedirect(path)
	if err == nil && redirected == nil {
		shown, err = Find(path)
	}
	if err != nil {
		return nil, nil, err
	}
	opts.redirect = redirected
	info, err := os.Stat(shown)
	if err == nil && info.Size() > maxBytes {
		err = fmt.Errorf("%s has %d bytes; a configuration file has at most %d", shown, info.Size(), maxBytes)
	}
	if err != nil {
		return nil, nil, err
	}
	data, err := os.ReadFile(shown)
	if err != nil {
		return nil, nil, fmt.Errorf("read manifest: %w", err)
	}
	file, err := filepath.Abs(shown)
	if err != nil {
		return nil, nil, err
	}
	return parse(shown, file, data, opts)
}

// parse makes a manifest of data, the content of file, which messages call shown.
func parse(shown, file string, data []byte, opts Options) (*Manifest, []Warning, error) {
	r := &report{file: shown}
	data = []byte(strings.TrimPrefix(string(data), "\ufeff"))
	var root *node
	if filepath.Ext(file) == ".toml" {
		root = parseTOML(r, data)
	} else {
		root = parseJSON(r, data)
	}
	if root != nil && root.kind != isObject {
		r.mismatch(root, "", "an object")
	}
	if len(r.problems) > 0 {
		return nil, r.warnings, r.problems
	}
	defer r.sort()
	m := &Manifest{File: file, Dir: filepath.Dir(file), Env: opts.Env, Inputs: []string{file}}
	m.Root = m.Dir
	l := loader{report: r, opts: opts, m: m}
	if d := opts.redirect; d != nil {
		if err := m.redirected(d); err != nil {
			return nil, nil, err
		}
		l.settings = resolve(r, root, "")
		l.checkRedirected()
	} else {
		l.settings = resolve(r, root, opts.Env)
	}
	if len(r.problems) > 0 { // the rest relies on the shapes
		return nil, r.warnings, r.problems
	}
	l.load()
	if len(r.problems) > 0 {
		return nil, r.warnings, r.problems
	}
	return l.m, r.warnings, nil
}

// sort puts problems and warnings in the order of the file.
func (r *report) sort() {
	byLine := func(a, b Problem) int {
		if a.File != b.File {
			return 0
		}
		return a.Line - b.Line
	}
	slices.SortStableFunc(r.problems, byLine)
	slices.SortStableFunc(r.warnings, byLine)
}

// loader turns checked settings into a Manifest.
type loader struct {
	*report
	settings
	opts Options
	m    *Manifest
}

func (l *loader) load() {
	l.loadIdentity()
	l.loadBuild()
	l.loadAssets()
	l.loadSite()
	l.loadTraffic()
	l.loadBindings()
	l.loadClasses()
	l.decode("observability", &l.m.Observability)
	l.decode("tail_consumers", &l.m.TailConsumers)
	l.decode("dev", &l.m.Dev)
}

// path makes a path that the manifest gives absolute.
func (l *loader) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(l.m.Dir, filepath.FromSlash(p))
}

// text returns the string at key, "" without it.
func (l *loader) text(key string) string {
	n, _ := l.get(key)
	return n.str()
}

// flag returns the boolean at key.
func (l *loader) flag(key string, otherwise bool) bool {
	if n, _ := l.get(key); n != nil {
		return n.truth
	}
	return otherwise
}

// decode unmarshals the value at key into v.
func (l *loader) decode(key string, v any) {
	n, _ := l.get(key)
	n.decode(v)
}

func (l *loader) loadIdentity() {
	l.loadName()
	m := l.m
	l.decode("compatibility_flags", &m.CompatibilityFlags)
	today := time.Now
	if l.opts.Now != nil {
		today = l.opts.Now
	}
	n, path := l.get("compatibility_date")
	date := n.str()
	switch _, err := time.Parse(time.DateOnly, date); {
	case n == nil:
		date = min(today().UTC().Format(time.DateOnly), Latest)
		l.warnf(l.root, "compatibility_date", "is missing; using %s. Add compatibility_date to keep the Worker's behaviour as the platform moves on", date)
	case err != nil:
		l.mismatch(n, path, `a date "YYYY-MM-DD"`)
	case date > Latest:
		l.warnf(n, path, "the engine knows dates up to %s, the Worker asks for %s; falling back to %s", Latest, date, Latest)
		date = Latest
	}
	m.CompatibilityDate = date

	main, path := l.main()
	m.Main = EntryFile(l.path(main.str()))
	if main == nil {
		m.Main = ""
		if assets, _ := l.get("assets"); assets.get("directory") == nil {
			l.errorf(l.root, "main", "is missing: name the entry point (main = \"src/index.ts\") or a directory of static files (assets.directory)")
		}
		return
	}
	if build, _ := l.get("build"); build.get("command") != nil || l.opts.Deployed {
		return // a build may be what makes the entry point
	}
	if info, err := os.Stat(m.Main); errors.Is(err, os.ErrNotExist) {
		hint := NeedsBuild(m.Root)
		if hint != "" {
			hint = "; " + hint
		}
		l.errorf(main, path, "the entry point %q was not found in %s%s", main.str(), m.Dir, hint)
	} else if err != nil {
		l.errorf(main, path, "the entry point cannot be read: %v", err)
	} else if info.IsDir() {
		l.errorf(main, path, "the entry point %q is a directory; name a file", main.str())
	}
}

func (l *loader) loadName() {
	m := l.m
	own, base := l.env.get("name"), l.root.get("name")
	switch {
	case own != nil:
		m.Name = own.str()
	case base != nil && base.str() != "" && m.Env != "" && !m.Redirected:
		m.Name = base.str() + "-" + m.Env
	default:
		m.Name = base.str()
	}
	if m.Name == "" {
		m.Name = nameFrom(filepath.Base(m.Dir))
		l.warnf(l.root, "name", "is missing; the Worker is called %q after its directory", m.Name)
		return
	}
	for _, n := range []*node{own, base} {
		if n != nil && n.str() != "" && n.str() != nameFrom(n.str()) {
			l.mismatch(n, "name", "lower-case letters, digits, dashes and underscores")
		}
	}
}

// nameFrom makes a Worker's name of any text; a valid name is left as it is.
func nameFrom(s string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	if name = strings.TrimLeft(name, "-"); name == "" {
		return "worker"
	}
	return name
}

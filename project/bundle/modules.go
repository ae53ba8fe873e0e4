package bundle

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/selvage-edge/selvage/config"
)

// collector is the plugin that takes files out of the bundle which a rule
// makes modules of their own. esbuild calls it from many goroutines.
type collector struct {
	opts   Options
	rules  rules
	script bool // of a service worker, which has the modules as global variables

	mu    sync.Mutex
	side  map[string]config.Module // by name
	files map[string]bool
	extra map[string]bool // files of additional modules

	legacy map[string]string // see legacyImports
}

// reset forgets the modules of the build before.
func (c *collector) reset(extra []additional) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.side, c.files, c.extra = map[string]config.Module{}, map[string]bool{}, map[string]bool{}
	c.legacy = legacyImports(c.opts.Entry)
	for _, m := range extra {
		c.extra[m.file] = true
	}
}

// found returns the modules of this build and the files they came from.
func (c *collector) found() (config.Modules, []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ms config.Modules
	for _, m := range c.side {
		ms = append(ms, m)
	}
	slices.SortFunc(ms, func(a, b config.Module) int { return strings.Compare(a.Name, b.Name) })
	var files []string
	for f := range c.files {
		files = append(files, f)
	}
	return ms, files
}

// asked marks a resolution that a plugin itself asks for, so that it does not
// come round again.
type asked struct{}

func (c *collector) plugin() api.Plugin {
	return api.Plugin{Name: "modules", Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: `.`}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
			if _, again := args.PluginData.(asked); again || args.Kind == api.ResolveEntryPoint {
				return api.OnResolveResult{}, nil
			}
			if file := c.legacy[args.Path]; file != "" && (args.Kind == api.ResolveJSImportStatement || args.Kind == api.ResolveJSRequireCall) {
				if r, ok := c.rules.matchImport("./" + args.Path); ok && !r.shadowed && !r.script() {
					found, err := c.take(file, args.Path, r)
					found.Warnings = []api.Message{{Text: fmt.Sprintf("import %q names a file beside the entry point, which wrangler is going to give up: write \"./%[1]s\"", args.Path)}}
					return found, err
				}
			}
			r, ok := c.rules.matchImport(args.Path)
			if !ok {
				return api.OnResolveResult{}, nil
			}
			// An additional module is imported as it is written, from the main
			// module, whichever file it is written in: so does wrangler.
			if written := withoutQuery(args.Path); c.extra[filepath.Join(args.ResolveDir, written)] {
				return external(written), nil
			}
			if r.script() {
				return api.OnResolveResult{}, nil
			}
			return c.resolve(build, args, r)
		})
		build.OnLoad(api.OnLoadOptions{Filter: ".", Namespace: partNamespace}, loadPart)
	}}
}

func (c *collector) resolve(build api.PluginBuild, args api.OnResolveArgs, r rule) (api.OnResolveResult, error) {
	found := build.Resolve(withoutQuery(args.Path), api.ResolveOptions{
		Importer: args.Importer, Namespace: args.Namespace, ResolveDir: args.ResolveDir, Kind: args.Kind, PluginData: asked{}})
	if len(found.Errors) > 0 {
		found.Path, found.Errors = unexported(args)
	}
	if len(found.Errors) > 0 || found.External || found.Path == "" {
		return api.OnResolveResult{}, nil // esbuild says so itself, with the place
	}
	if r.shadowed {
		return api.OnResolveResult{}, fmt.Errorf("%s matches a module rule that is ignored, because an earlier rule of its type lacks fallthrough = true", args.Path)
	}
	return c.take(found.Path, args.Path, r)
}

// take makes a file that is imported by a specifier a module of its own.
func (c *collector) take(file, specifier string, r rule) (api.OnResolveResult, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return api.OnResolveResult{}, err
	}
	name := filepath.Base(file)
	if c.opts.PreserveFileNames {
		name = path.Clean(withoutQuery(specifier))
		name = strings.TrimLeft(strings.ReplaceAll(name, "../", ""), "/")
	} else {
		sum := sha1.Sum(data)
		name = hex.EncodeToString(sum[:]) + "-" + name
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[file] = true
	if other, taken := c.side[name]; taken && string(other.Data) != string(data) {
		return api.OnResolveResult{}, fmt.Errorf("two files would be the module %q; turn preserve_file_names off", name)
	}
	c.side[name] = config.Module{Name: name, Type: r.typ, Data: data}
	if c.script {
		return api.OnResolveResult{Path: name, Namespace: partNamespace}, nil
	}
	return external("./" + name), nil
}

// unexported finds the file of a package that its exports do not list, and a
// file beside the importer that is named without "./". wrangler takes both for
// what a module rule matches.
func unexported(args api.OnResolveArgs) (string, []api.Message) {
	name := filepath.FromSlash(withoutQuery(args.Path))
	var candidates []string
	for dir := args.ResolveDir; !strings.HasPrefix(args.Path, "."); dir = filepath.Dir(dir) {
		candidates = append(candidates, filepath.Join(dir, "node_modules", name))
		if dir == filepath.Dir(dir) {
			break
		}
	}
	for _, file := range append(candidates, filepath.Join(args.ResolveDir, name)) {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file, nil
		}
	}
	return "", []api.Message{{Text: "not found"}}
}

func withoutQuery(specifier string) string {
	name, _, _ := strings.Cut(specifier, "?")
	return name
}

func external(specifier string) api.OnResolveResult {
	return api.OnResolveResult{Path: specifier, External: true}
}

// additional is a module that was found rather than imported.
type additional struct {
	config.Module
	file string
}

// findModules returns the files below the base directory that a rule matches,
// those of dependencies and hidden folders, too. What wrangler and selvage keep
// in the project is left out.
func findModules(opts Options, rs rules) ([]additional, error) {
	var found []additional
	err := filepath.WalkDir(opts.BaseDir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if filepath.Dir(file) == opts.Dir && (d.Name() == ".wrangler" || d.Name() == ".selvage") {
				return filepath.SkipDir
			}
			return nil
		}
		name := relative(opts.BaseDir, file)
		if err := rs.shadow(name); err != nil {
			return err
		}
		r, ok := rs.match(name)
		if !ok || r.shadowed || file == opts.Entry || file == opts.Config {
			return nil
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		found = append(found, additional{config.Module{Name: name, Type: r.typ, Data: data}, file})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find additional modules: %w", err)
	}
	return found, nil
}

// asIs takes the entry point, which has these exports, unbundled.
func (b *Bundler) asIs(exports []string) (*Result, error) {
	o := b.opts
	switch filepath.Ext(o.Entry) {
	case ".js", ".mjs", ".cjs":
	default:
		return nil, fmt.Errorf("bundle %s: no_bundle takes JavaScript only; point main at the built file, or remove no_bundle", o.Entry)
	}
	data, err := os.ReadFile(o.Entry)
	if err != nil {
		return nil, fmt.Errorf("read entry point: %w", err)
	}
	name := filepath.Base(o.Entry)
	r := &Result{MainModule: name, Exports: exports, Inputs: []string{o.Entry}, maps: map[string][]byte{}}
	m := config.Module{Name: name, Type: config.ESModule, Data: data}
	if !slices.Contains(exports, "default") {
		r.ServiceWorker, m.Type = true, config.CommonJSModule
	}
	if slices.Contains(o.CompatibilityFlags, "nodejs_compat_v2") {
		r.Warnings = append(r.Warnings, Problem{File: b.show(o.Entry),
			Text: "nothing stands in for Node.js's modules and globals with no_bundle: the project's own build has to see to it"})
	}
	r.Modules = config.Modules{m}
	if mapped := linkedMap(o.Entry, data); mapped != nil {
		r.maps[name] = mapped
	}
	return r, nil
}

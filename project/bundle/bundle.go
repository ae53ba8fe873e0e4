// Package bundle makes the modules of a Worker out of a project, with esbuild.
// Everything means what it means to wrangler: conditions, external modules,
// module rules, content-hashed side modules, aliases, definitions, source maps.
//
// Nothing is written to disk. A [Bundler] keeps what esbuild learned, so that
// building again after a change is a matter of milliseconds.
//
// Source: https://developers.cloudflare.com/workers/wrangler/bundling/
package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/project/nodecompat"
)

// Options say what to build and how. Paths are absolute.
type Options struct {
	// Entry is the file whose exports are the Worker's handlers.
	Entry string
	// Dir is the project: source maps name files relative to it, and aliases
	// that are paths start from it.
	Dir string
	// Config is the configuration file, which is no module.
	Config string
	// BaseDir is the root below which additional modules are found and named.
	// Default: the directory of Entry.
	BaseDir string

	// NoBundle takes Entry as it is. It must be JavaScript then.
	NoBundle bool
	// FindAdditionalModules adds every file below BaseDir that a rule matches.
	FindAdditionalModules bool
	// Rules come before the built-in ones.
	Rules []Rule
	// PreserveFileNames keeps the names of side modules rather than putting a
	// hash of the content in front.
	PreserveFileNames bool

	// Define replaces global identifiers by JavaScript expressions.
	Define map[string]string
	// Alias replaces import specifiers: packages or files by packages or files.
	Alias map[string]string
	// NodeEnv is what process.env.NODE_ENV becomes. Default: "development".
	NodeEnv string
	// CompatibilityDate is the Worker's, YYYY-MM-DD. It and the flags say how
	// much of Node.js there is, see [nodecompat.Mode].
	CompatibilityDate  string
	CompatibilityFlags []string
	// Progress shows the download of what fills in Node.js; nil for none.
	Progress io.Writer

	// Conditions choose among the exports of packages. Default: workerd, worker,
	// browser.
	Conditions []string
	// Platform is esbuild's: browser, which is the default, node or neutral.
	Platform string

	Minify bool
	// KeepNames keeps Function.name as written.
	KeepNames bool
	// TSConfig is used instead of each file's nearest tsconfig.json.
	TSConfig string
	// JSXFactory and JSXFragment default to React.createElement and
	// React.Fragment, unless tsconfig.json says otherwise.
	JSXFactory, JSXFragment string
}

// Result is a Worker ready to run.
type Result struct {
	// Modules has the main module first.
	Modules    config.Modules
	MainModule string
	// ServiceWorker: the main module is a script that calls addEventListener,
	// and has the modules that are no scripts in Globals.
	ServiceWorker bool
	Globals       []Global
	// Exports are the names the main module exports, sorted; "default" is one.
	Exports []string
	// Inputs are the files that went in, absolute and sorted: what to watch.
	Inputs []string
	// SourceMap is that of the main module; nil with NoBundle. Its sources are
	// relative to Options.Dir.
	SourceMap []byte
	// Warnings do not keep the Worker from running.
	Warnings []Problem
	// Size is the length of all modules in bytes.
	Size int

	maps map[string][]byte
}

// Global is a global variable of a service-worker script with the content of a
// module.
type Global struct{ Name, Module string }

// Bundler builds one project again and again. It is safe for concurrent use;
// builds take turns.
type Bundler struct {
	opts  Options
	rules rules
	node  *node

	mu       sync.Mutex
	contexts map[api.Format]*builder
	closed   bool
}

// builder is esbuild's memory of earlier builds in one output format.
type builder struct {
	api.BuildContext
	collector *collector
}

// New checks the options and makes a Bundler. Close it when done.
func New(opts Options) (*Bundler, error) {
	if ext := filepath.Ext(opts.Entry); ext == ".py" {
		return nil, fmt.Errorf("bundle %s: Python Workers are not supported; write the Worker in JavaScript or TypeScript", opts.Entry)
	}
	if opts.BaseDir == "" {
		opts.BaseDir = filepath.Dir(opts.Entry)
	}
	if opts.NodeEnv == "" {
		opts.NodeEnv = "development"
	}
	if opts.Conditions == nil {
		opts.Conditions = []string{"workerd", "worker", "browser"}
	}
	if _, ok := platforms[opts.Platform]; !ok {
		return nil, fmt.Errorf("bundle %s: there is no platform %q; use browser, node or neutral", opts.Entry, opts.Platform)
	}
	mode, err := nodecompat.ModeOf(opts.CompatibilityDate, opts.CompatibilityFlags)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", opts.Entry, err)
	}
	r, err := compileRules(opts)
	if err != nil {
		return nil, err
	}
	return &Bundler{opts: opts, rules: r, node: &node{opts: opts, mode: mode}, contexts: map[api.Format]*builder{}}, nil
}

// Build makes a Bundler for a single build.
func Build(ctx context.Context, opts Options) (*Result, error) {
	b, err := New(opts)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return b.Build(ctx)
}

// Close gives back what esbuild keeps. The Bundler cannot build afterwards.
func (b *Bundler) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.contexts {
		c.Dispose()
	}
	b.contexts, b.closed = nil, true
}

// Build builds the project as it is on disk now. An error is of type [*Error]
// when the project's code is at fault; the Bundler can build again when it is
// mended. The context ends the download of what fills in Node.js, which a first
// build may need.
func (b *Bundler) Build(ctx context.Context) (*Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.node.reset(ctx)
	if b.closed {
		return nil, fmt.Errorf("bundle %s: the bundler is closed", b.opts.Entry)
	}
	if _, err := os.Stat(b.opts.Entry); err != nil {
		return nil, fmt.Errorf("read entry point: %w", err)
	}
	exports, err := b.exports()
	if err != nil {
		return nil, err
	}
	script := !slices.Contains(exports, "default")
	var extra []additional
	if b.opts.FindAdditionalModules {
		if script && !b.opts.NoBundle {
			return nil, &Error{Problems: []Problem{{File: b.show(b.opts.Entry),
				Text: "find_additional_modules is for ES modules: remove it, or change the entry point to `export default { … }`"}}}
		}
		if extra, err = findModules(b.opts, b.rules); err != nil {
			return nil, err
		}
	}
	var r *Result
	switch {
	case b.opts.NoBundle:
		r, err = b.asIs(exports)
	case script:
		r, err = b.script()
	default:
		r, err = b.run(api.FormatESModule, extra)
	}
	if err != nil {
		return nil, err
	}
	if script && (len(exports) > 0 || !bytes.Contains(r.Modules[0].Data, []byte("addEventListener("))) {
		r.Warnings = append(r.Warnings, Problem{File: b.show(b.opts.Entry),
			Text: "the entry point has no default export and is taken for a service-worker script: add `export default { fetch(request, env, ctx) { … } }`"})
	}
	for _, m := range extra {
		if slices.ContainsFunc(r.Modules, func(x config.Module) bool { return x.Name == m.Name }) {
			continue
		}
		r.Modules = append(r.Modules, m.Module)
		if r.ServiceWorker && m.Type != config.ESModule && m.Type != config.CommonJSModule {
			r.Globals = append(r.Globals, Global{globalName(m.Name), m.Name})
		}
		r.Inputs = append(r.Inputs, m.file)
		if mapped := linkedMap(m.file, m.Data); m.Type == config.ESModule && mapped != nil {
			r.maps[m.Name] = mapped
		}
	}
	slices.Sort(r.Inputs)
	r.Inputs = slices.Compact(r.Inputs)
	for _, m := range r.Modules {
		r.Size += len(m.Data)
	}
	return r, nil
}

func (b *Bundler) run(format api.Format, extra []additional) (*Result, error) {
	c := b.contexts[format]
	if c == nil {
		inject, err := b.node.inject()
		if err != nil {
			return nil, err
		}
		collector := &collector{opts: b.opts, rules: b.rules, script: format == api.FormatIIFE}
		options := b.buildOptions(format, collector)
		options.Inject = inject
		made, failed := api.Context(options)
		if failed != nil {
			return nil, b.failure(failed.Errors)
		}
		c = &builder{made, collector}
		b.contexts[format] = c
	}
	c.collector.reset(extra)
	out := c.Rebuild()
	if len(out.Errors) > 0 {
		return nil, b.failure(out.Errors)
	}
	r := &Result{MainModule: b.mainModule(), Warnings: b.problems(out.Warnings), maps: map[string][]byte{}}
	for _, f := range out.OutputFiles {
		if strings.HasSuffix(f.Path, ".map") {
			r.SourceMap = f.Contents
			continue
		}
		r.Modules = append(r.Modules, config.Module{Name: r.MainModule, Type: config.ESModule, Data: f.Contents})
	}
	r.maps[r.MainModule] = r.SourceMap
	side, files := c.collector.found()
	r.Modules = append(r.Modules, side...)
	r.Inputs = files
	return r, r.readMetafile(out.Metafile, b.opts.Dir)
}

// readMetafile learns the exports and inputs of a build in dir.
func (r *Result) readMetafile(text, dir string) error {
	var meta struct {
		Inputs  map[string]struct{} `json:"inputs"`
		Outputs map[string]struct {
			EntryPoint string   `json:"entryPoint"`
			Exports    []string `json:"exports"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal([]byte(text), &meta); err != nil {
		return fmt.Errorf("read esbuild's metafile: %w", err)
	}
	for in := range maps.Keys(meta.Inputs) {
		if prefix, _, virtual := strings.Cut(in, ":"); virtual && len(prefix) > 1 {
			continue // a module that a plugin made up
		}
		if !filepath.IsAbs(in) {
			in = filepath.Join(dir, filepath.FromSlash(in))
		}
		r.Inputs = append(r.Inputs, in)
	}
	for _, out := range meta.Outputs {
		if out.EntryPoint != "" {
			r.Exports = slices.Sorted(slices.Values(out.Exports))
		}
	}
	return nil
}

// mainModule is the name of the built main module. It has no folder, whatever
// BaseDir is: wrangler uploads it so.
func (b *Bundler) mainModule() string {
	name := filepath.Base(b.opts.Entry)
	return strings.TrimSuffix(name, filepath.Ext(name)) + ".js"
}

// show is a path as messages name it: relative to the project.
func (b *Bundler) show(path string) string {
	return relative(b.opts.Dir, path)
}

// relative is path seen from dir, with slashes.
func relative(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil {
		path = rel
	}
	return filepath.ToSlash(path)
}

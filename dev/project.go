package dev

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/selvage-edge/selvage/assets"
	"github.com/selvage-edge/selvage/bundle"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/manifest"
)

// project is one wrangler project that dev runs. load and build are called by
// one goroutine at a time; mapStack by any.
type project struct {
	path    string // as it was asked for: a folder or a configuration file
	options manifest.Options
	output  io.Writer // of the project's own build command

	manifest *manifest.Manifest
	bundler  *bundle.Bundler
	inputs   []string // source files of the last build
	number   int      // of the last version
	version  *config.Version

	mu   sync.Mutex // guards maps
	maps map[string]*bundle.SourceMapper
}

// keepMaps is for how many versions stacks can be mapped: older cells have
// drained by then.
const keepMaps = 5

// load reads the configuration and prepares the bundler; on an error the
// project stays as it was.
func (p *project) load() (warnings []manifest.Warning, err error) {
	m, warnings, err := manifest.Load(p.path, p.options)
	if err != nil {
		return warnings, err
	}
	if p.bundler != nil {
		p.bundler.Close()
		p.bundler = nil
	}
	p.manifest = m
	if m.Main != "" {
		p.bundler, err = bundle.New(bundleOptions(m))
	}
	return warnings, err
}

func bundleOptions(m *manifest.Manifest) bundle.Options {
	rules := make([]bundle.Rule, len(m.Build.Rules))
	for i, r := range m.Build.Rules {
		rules[i] = bundle.Rule{Type: r.Type, Globs: r.Globs, Fallthrough: r.Fallthrough != nil && *r.Fallthrough}
	}
	return bundle.Options{
		Entry: m.Main, Dir: m.Dir, BaseDir: m.Build.BaseDir,
		NoBundle: m.Build.NoBundle, FindAdditionalModules: m.Build.FindAdditionalModules,
		Rules: rules, PreserveFileNames: m.Build.PreserveFileNames,
		Define: m.Build.Define, Alias: m.Build.Alias,
		NodejsCompat:      nodejsCompat(m),
		CompatibilityDate: m.CompatibilityDate,
		Minify:            m.Build.Minify, KeepNames: m.Build.KeepNames, TSConfig: m.Build.TSConfig,
		JSXFactory: m.Build.JSXFactory, JSXFragment: m.Build.JSXFragment,
	}
}

// nodejsCompatDate is from when on the flag nodejs_compat is the default.
const nodejsCompatDate = "2026-08-04"

func nodejsCompat(m *manifest.Manifest) bool {
	return slices.Contains(m.CompatibilityFlags, "nodejs_compat") ||
		m.CompatibilityDate >= nodejsCompatDate && !slices.Contains(m.CompatibilityFlags, "no_nodejs_compat")
}

// build bundles the project into a new version.
func (p *project) build(ctx context.Context) (warnings []string, err error) {
	m := p.manifest
	v := &config.Version{
		ID: uuid.NewString(), Number: p.number + 1, Worker: m.Name, Created: time.Now(),
		CompatibilityDate: m.CompatibilityDate, CompatibilityFlags: m.CompatibilityFlags,
		Bindings: m.Bindings, Classes: m.Classes, Limits: m.Limits,
	}
	var mapper *bundle.SourceMapper
	if p.bundler != nil {
		if m.Build.Command != "" {
			if err := bundle.RunCommand(ctx, m.Build.Command, m.Build.Cwd, "dev", p.output); err != nil {
				return nil, err
			}
		}
		result, err := p.bundler.Build()
		if err != nil {
			return nil, err
		}
		v.MainModule, v.ServiceWorker = result.MainModule, result.ServiceWorker
		v.Code = append(slices.Clip(result.Modules), m.Parts...)
		p.inputs, mapper = result.Inputs, result.SourceMapper()
		for _, w := range result.Warnings {
			warnings = append(warnings, w.String())
		}
	}
	if m.Assets != nil {
		files, err := assets.OpenDir(m.Assets.Directory)
		if err != nil {
			return warnings, err
		}
		warnings = append(warnings, files.Warnings...)
		v.Assets = &config.Assets{
			HTMLHandling: m.Assets.HTMLHandling, NotFoundHandling: m.Assets.NotFoundHandling,
			RunWorkerFirst: m.Assets.RunWorkerFirst, RunWorkerFirstPaths: m.Assets.RunWorkerFirstPaths,
			Headers: files.Headers, Redirects: files.Redirects, Files: files,
		}
	}
	p.number++
	p.version = v
	p.remember(v.ID, mapper)
	return warnings, nil
}

func (p *project) remember(version string, mapper *bundle.SourceMapper) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.maps == nil || len(p.maps) >= keepMaps {
		p.maps = map[string]*bundle.SourceMapper{} // stacks of older versions stay unmapped
	}
	p.maps[version] = mapper
}

// mapStack rewrites the positions of a stack to those of the sources.
func (p *project) mapStack(version, stack string) string {
	p.mu.Lock()
	mapper := p.maps[version]
	p.mu.Unlock()
	if mapper == nil {
		return stack
	}
	return mapper.MapStack(stack)
}

// configFiles are the files whose change means reading the configuration again.
func (p *project) configChanged(paths map[string]bool) bool {
	return slices.ContainsFunc(p.manifest.Inputs, func(f string) bool { return paths[f] })
}

// sourcesChanged reports whether one of the changed files is part of the
// Worker or of its assets.
func (p *project) sourcesChanged(paths map[string]bool) bool {
	if slices.ContainsFunc(p.inputs, func(f string) bool { return paths[f] }) {
		return true
	}
	trees := slices.Clone(p.manifest.Build.WatchDirs)
	if p.manifest.Build.Command == "" && !p.manifest.Build.FindAdditionalModules {
		trees = nil // only what the bundler read counts
	}
	if p.manifest.Build.FindAdditionalModules {
		trees = append(trees, p.manifest.Build.BaseDir)
	}
	if a := p.manifest.Assets; a != nil {
		trees = append(trees, a.Directory)
	}
	for changed := range paths {
		for _, tree := range trees {
			if rel, err := filepath.Rel(tree, changed); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
				return true
			}
		}
	}
	return false
}

// watch has the watcher look at everything the project was made from.
func (p *project) watch(w *watcher) {
	w.files(p.manifest.Inputs)
	w.files(p.inputs)
	if p.manifest.Build.Command != "" {
		for _, dir := range p.manifest.Build.WatchDirs {
			w.tree(dir)
		}
	}
	if p.manifest.Build.FindAdditionalModules {
		w.tree(p.manifest.Build.BaseDir)
	}
	if p.manifest.Assets != nil {
		w.tree(p.manifest.Assets.Directory)
	}
}

package dev

import (
	"path/filepath"
	"slices"
	"strings"

	wrangler "github.com/selvage-edge/selvage/project"
)

// project is one wrangler project that dev runs.
type project struct{ wrangler.Project }

// configFiles are the files whose change means reading the configuration again.
func (p *project) configChanged(paths map[string]bool) bool {
	return slices.ContainsFunc(p.Manifest.Inputs, func(f string) bool { return paths[f] })
}

// sourcesChanged reports whether one of the changed files is part of the
// Worker or of its assets.
func (p *project) sourcesChanged(paths map[string]bool) bool {
	if slices.ContainsFunc(p.Inputs, func(f string) bool { return paths[f] }) {
		return true
	}
	trees := slices.Clone(p.Manifest.Build.WatchDirs)
	if p.Manifest.Build.Command == "" && !p.Manifest.Build.FindAdditionalModules {
		trees = nil // only what the bundler read counts
	}
	if p.Manifest.Build.FindAdditionalModules {
		trees = append(trees, p.Manifest.Build.BaseDir)
	}
	if a := p.Manifest.Assets; a != nil {
		trees = append(trees, a.Directory)
	}
	if s := p.Manifest.Site; s != nil {
		trees = append(trees, s.Bucket)
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
	w.files(p.Manifest.Inputs)
	w.files(p.Inputs)
	if p.Manifest.Build.Command != "" {
		for _, dir := range p.Manifest.Build.WatchDirs {
			w.tree(dir)
		}
	}
	if p.Manifest.Build.FindAdditionalModules {
		w.tree(p.Manifest.Build.BaseDir)
	}
	if p.Manifest.Assets != nil {
		w.tree(p.Manifest.Assets.Directory)
	}
	if p.Manifest.Site != nil {
		w.tree(p.Manifest.Site.Bucket)
	}
}

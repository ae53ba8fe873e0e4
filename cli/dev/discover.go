package dev

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/platform"
	"github.com/selvage-edge/selvage/project/manifest"
)

// called lists the Workers that bindings lead to.
func called(kinds binding.Kinds, bindings []config.Binding) []string {
	var names []string
	for _, b := range bindings {
		for _, r := range kinds.Refer(b) {
			if r.Worker != "" {
				names = append(names, r.Worker)
			}
		}
	}
	return names
}

// discover completes a set of projects with those they need: a service binding,
// or one of a Durable Object class, whose target is not among them is looked for, by its Worker's name, in the
// folders directly below the projects that were asked for. So one folder can
// hold a gateway and, below it, the private Workers it calls. load makes a
// project of a folder.
func discover(projects []*project, load func(path string) (*project, error)) ([]*project, error) {
	kinds := binding.ByType(platform.Kinds())
	have := map[string]bool{}
	var roots []string
	for _, p := range projects {
		have[p.Manifest.Name] = true
		roots = append(roots, p.Manifest.Root)
	}
	for i := 0; i < len(projects); i++ { // grows: what is found may need more
		for _, name := range called(kinds, projects[i].Manifest.Bindings) {
			for _, root := range roots {
				if have[name] {
					break
				}
				found, err := findBelow(root, name, load)
				if err != nil {
					return nil, fmt.Errorf("look for the Worker %q that a binding of %s names: %w", name, projects[i].Manifest.Name, err)
				}
				if found != nil {
					have[name] = true
					projects = append(projects, found)
				}
			}
		}
	}
	return projects, nil
}

// findBelow loads the project with the Worker called name from the folders
// directly below root; nil if there is none.
func findBelow(root, name string, load func(path string) (*project, error)) (*project, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		if !e.IsDir() || ignored(e.Name()) {
			continue
		}
		if _, err := manifest.Find(dir); err != nil {
			continue // not a project
		}
		p, err := load(dir)
		if err != nil {
			return nil, err
		}
		if p.Manifest.Name == name {
			return p, nil
		}
	}
	return nil, nil
}

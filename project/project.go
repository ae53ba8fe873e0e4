// Package project makes Worker versions of wrangler projects on this machine:
// manifest, bundle and static files. `selvage dev` rebuilds them on save; a
// program that embeds projects builds them once.
package project

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/project/bundle"
	"github.com/selvage-edge/selvage/project/manifest"
)

// Project is one wrangler project. Load and Build are called by one goroutine
// at a time; MapStack by any.
type Project struct {
	// Path is a folder or a configuration file.
	Path    string
	Options manifest.Options
	// Output is where the project's own build command writes, and where the
	// progress of downloads goes.
	Output io.Writer

	// Manifest is set by Load.
	Manifest *manifest.Manifest
	// Inputs are the source files of the last Build, Version is what it made.
	Inputs  []string
	Version *config.Version

	bundler *bundle.Bundler
	number  int // of the last version

	mu   sync.Mutex // guards maps
	maps map[string]*bundle.SourceMapper
}

// keepMaps is for how many versions stacks can be mapped: older cells have
// drained by then.
const keepMaps = 5

// Load reads the configuration and prepares the bundler; on an error the
// project stays as it was.
func (p *Project) Load() (warnings []manifest.Warning, err error) {
	m, warnings, err := manifest.Load(p.Path, p.Options)
	if err != nil {
		return warnings, err
	}
	for i, text := range m.Crons {
		if _, err := cron.Parse(text); err != nil {
			warnings = append(warnings, manifest.Warning{File: p.Path, Key: fmt.Sprintf("triggers.crons[%d]", i),
				Message: fmt.Sprintf("%v; a deployment of it is refused", err)})
		}
	}
	p.Close()
	p.Manifest = m
	if m.Main != "" {
		p.bundler, err = bundle.New(bundleOptions(m, p.Output))
	}
	return warnings, err
}

func bundleOptions(m *manifest.Manifest, progress io.Writer) bundle.Options {
	rules := make([]bundle.Rule, len(m.Build.Rules))
	for i, r := range m.Build.Rules {
		rules[i] = bundle.Rule{Type: r.Type, Globs: r.Globs, Fallthrough: r.Fallthrough != nil && *r.Fallthrough}
	}
	// wrangler reads these, too; an empty one names no condition.
	var conditions []string
	if list, ok := os.LookupEnv("WRANGLER_BUILD_CONDITIONS"); ok {
		conditions = strings.Split(list, ",")
	}
	return bundle.Options{
		Entry: m.Main, Dir: m.Root, Config: m.File, BaseDir: m.Build.BaseDir,
		NoBundle: m.Build.NoBundle, FindAdditionalModules: m.Build.FindAdditionalModules,
		Rules: rules, PreserveFileNames: m.Build.PreserveFileNames,
		NodeEnv: os.Getenv("NODE_ENV"), Define: m.Build.Define, Alias: m.Build.Alias,
		CompatibilityDate: m.CompatibilityDate, CompatibilityFlags: m.CompatibilityFlags, Progress: progress,
		Conditions: conditions, Platform: os.Getenv("WRANGLER_BUILD_PLATFORM"),
		Minify: m.Build.Minify, KeepNames: m.Build.KeepNames, TSConfig: m.Build.TSConfig,
		JSXFactory: m.Build.JSXFactory, JSXFragment: m.Build.JSXFragment,
	}
}

// Build bundles the project into a new version.
func (p *Project) Build(ctx context.Context) (warnings []string, err error) {
	m := p.Manifest
	v := &config.Version{
		ID: uuid.NewString(), Number: p.number + 1, Worker: m.Name, Created: time.Now(),
		CompatibilityDate: m.CompatibilityDate, CompatibilityFlags: m.CompatibilityFlags,
		Bindings: slices.Clip(m.Bindings), Classes: m.Classes, Limits: m.Limits,
	}
	var mapper *bundle.SourceMapper
	if m.Build.Command != "" { // which may be what makes the entry point, or the static files
		if err := p.runCommand(ctx); err != nil {
			return nil, err
		}
	}
	if p.bundler != nil {
		result, err := p.bundler.Build(ctx)
		if err != nil {
			return nil, p.explain(err)
		}
		if err := checkClasses(m, result); err != nil {
			return nil, err
		}
		v.MainModule, v.ServiceWorker = result.MainModule, result.ServiceWorker
		v.Code = append(slices.Clip(result.Modules), m.Parts...)
		if v.Bindings, err = addGlobals(v.Bindings, result); err != nil {
			return nil, err
		}
		p.Inputs, mapper = result.Inputs, result.SourceMapper()
		for _, w := range result.Warnings {
			warnings = append(warnings, w.String())
		}
		if len(m.Parts) > 0 && !v.ServiceWorker {
			warnings = append(warnings, "wrangler deploys no ES module with wasm_modules, text_blobs or data_blobs: import the files")
		}
	}
	if m.Site != nil && p.bundler != nil {
		if err := addSite(v, m.Site); err != nil {
			return warnings, err
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
	p.Version = v
	p.remember(v.ID, mapper)
	return warnings, nil
}

// addGlobals gives a service-worker script the modules that it imports.
func addGlobals(bindings []config.Binding, r *bundle.Result) ([]config.Binding, error) {
	for _, g := range r.Globals {
		i := slices.IndexFunc(r.Modules, func(m config.Module) bool { return m.Name == g.Module })
		b, err := manifest.PartBinding(g.Name, r.Modules[i])
		if err != nil {
			return nil, err
		}
		bindings = append(bindings, b)
	}
	return bindings, nil
}

// checkClasses refuses a Worker that lacks the Durable Object classes of its
// bindings.
func checkClasses(m *manifest.Manifest, r *bundle.Result) error {
	entry, err := filepath.Rel(m.Root, m.Main)
	if err != nil {
		entry = m.Main
	}
	var missing []string
	for _, class := range m.BoundClasses {
		if r.ServiceWorker {
			return fmt.Errorf("%s: a service-worker script cannot have the Durable Object class %s: change the entry point to `export default { … }`, or name the class's Worker by script_name", entry, class)
		}
		if !slices.Contains(r.Exports, class) {
			missing = append(missing, class)
		}
	}
	if len(missing) > 0 && !m.Build.NoBundle {
		return fmt.Errorf("the bindings need these Durable Object classes, which the entry point does not export: %s; export them from %s", strings.Join(missing, ", "), entry)
	}
	return nil
}

// runCommand runs the project's own build command.
func (p *Project) runCommand(ctx context.Context) error {
	m := p.Manifest
	if err := bundle.RunCommand(ctx, m.Build.Command, m.Build.Cwd, "dev", p.Output); err != nil {
		return err
	}
	if m.Main == "" {
		return nil
	}
	if made := manifest.EntryFile(m.Main); made != m.Main {
		m.Main = made
		p.bundler.Close()
		var err error
		if p.bundler, err = bundle.New(bundleOptions(m, p.Output)); err != nil {
			return err
		}
	}
	if _, err := os.Stat(m.Main); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the expected output file at %s was not found after running custom build: %s; let main be the file that it makes", m.Main, m.Build.Command)
	}
	return nil
}

// virtual are the imports that only a build tool resolves.
var virtual = regexp.MustCompile(`^Could not resolve "(?:[a-z@][a-z0-9_-]*:|[@~]/)`)

// explain adds to a failed build that the project has to be built by its own
// tool first, where that is why it failed.
func (p *Project) explain(err error) error {
	failed := (*bundle.Error)(nil)
	if p.Manifest.Redirected || !errors.As(err, &failed) ||
		!slices.ContainsFunc(failed.Problems, func(b bundle.Problem) bool { return virtual.MatchString(b.Text) }) {
		return err
	}
	if hint := manifest.NeedsBuild(p.Manifest.Root); hint != "" {
		return fmt.Errorf("%w\n%s", err, hint)
	}
	return err
}

func (p *Project) remember(version string, mapper *bundle.SourceMapper) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.maps == nil || len(p.maps) >= keepMaps {
		p.maps = map[string]*bundle.SourceMapper{} // stacks of older versions stay unmapped
	}
	p.maps[version] = mapper
}

// MapStack rewrites the positions of a stack to those of the sources.
func (p *Project) MapStack(version, stack string) string {
	p.mu.Lock()
	mapper := p.maps[version]
	p.mu.Unlock()
	if mapper == nil {
		return stack
	}
	return mapper.MapStack(stack)
}

// Worker is the Worker as it is deployed on its own: the last version takes all
// traffic.
func (p *Project) Worker() *config.Worker {
	m := p.Manifest
	return &config.Worker{
		Name: m.Name, Deployment: p.Version.ID, Subdomain: true, Crons: m.Crons, Triggers: m.Triggers,
		Shares: []config.Share{{Version: p.Version, Percentage: 100}},
	}
}

// Close lets go of what the bundler holds.
func (p *Project) Close() {
	if p.bundler != nil {
		p.bundler.Close()
		p.bundler = nil
	}
}

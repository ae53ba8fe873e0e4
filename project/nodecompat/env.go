package nodecompat

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dop251/goja"
	"github.com/evanw/esbuild/pkg/api"

	"github.com/selvage-edge/selvage/npm"
)

// Env says what is replaced by what when a Worker is bundled.
type Env struct {
	// Dir is where the packages, and what Inject names, are imported from.
	Dir string
	// Alias is by import specifier, bare and with node:.
	Alias map[string]Target
	// Inject are modules whose exports become globals, in order.
	Inject []Inject
	// Polyfill are files that run before the Worker, in order.
	Polyfill []string
}

// Target stands in for a module or package.
type Target struct {
	// Specifier is the target's own: "fs" or "unenv/node/fs".
	Specifier string
	// Native: the runtime has it. File is empty then.
	Native bool
	// File has it.
	File string
}

// Inject is a module with the globals that come from it.
type Inject struct {
	Module  string
	Globals []Global
}

// Global is a property of globalThis and the export that it becomes.
type Global struct {
	Global, Name string
}

// Load returns the Env of a Worker in mode V2. The packages are those that the
// wrangler installed in the project dir depends on. Without one, or when it is
// too old to know compatibility dates, they are pinned releases, fetched once
// from the npm registry into the user's cache; the progress of that goes to
// progress.
func Load(ctx context.Context, dir, date string, flags []string, progress io.Writer) (*Env, error) {
	if wrangler, ok := installed(dir); ok {
		env, err := load(ctx, wrangler, wrangler, date, flags)
		if !errors.Is(err, errOld) {
			return env, err
		}
	}
	packages, err := fetch(ctx, progress)
	if err != nil {
		return nil, fmt.Errorf("fill in Node.js: %w", err)
	}
	return load(ctx, packages, dir, date, flags)
}

// errOld: the packages are of before they knew compatibility dates.
var errOld = errors.New("it does not know compatibility dates")

// load evaluates the packages that can be imported from dir; other packages
// that they name are imported from project.
func load(ctx context.Context, dir, project, date string, flags []string) (*Env, error) {
	text, err := evaluate(ctx, dir, date, flags)
	if err != nil {
		return nil, fmt.Errorf("fill in Node.js: evaluate the preset of %s: %w", dir, err)
	}
	var said struct {
		Alias    map[string]string
		External []string
		Inject   []Inject
		Polyfill []string
	}
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		return nil, fmt.Errorf("fill in Node.js: read the preset of %s: %w", dir, err)
	}
	wanted := map[string]string{} // directory to import from, by specifier
	for _, to := range slices.AppendSeq(slices.Clone(said.Polyfill), maps.Values(said.Alias)) {
		if wanted[to] = project; strings.HasPrefix(to, "unenv/") || strings.HasPrefix(to, "@cloudflare/unenv-preset/") {
			wanted[to] = dir
		}
	}
	files := resolve(wanted)
	env := &Env{Dir: dir, Alias: map[string]Target{}, Inject: said.Inject}
	for from, to := range said.Alias {
		t := Target{Specifier: to, Native: slices.Contains(said.External, to)}
		if !t.Native {
			if t.File = files[to]; t.File == "" {
				continue // a package that is not installed
			}
		}
		env.Alias[from] = t
	}
	for _, p := range said.Polyfill {
		if files[p] == "" {
			return nil, fmt.Errorf("fill in Node.js: %s is not in the packages of %s: install wrangler anew", p, dir)
		}
		env.Polyfill = append(env.Polyfill, files[p])
	}
	return env, nil
}

//go:embed preset.mjs
var presetSource string

// nothing stands in for the modules of Node.js that the packages import for
// functions that are not called here.
const nothing = `const nothing = new Proxy(function () {}, { get: (f, name) => name === "__esModule" ? false : nothing });
module.exports = nothing;`

// evaluate runs the presets, which are programs, in an interpreter.
func evaluate(ctx context.Context, dir, date string, flags []string) (string, error) {
	const entry = "preset.mjs"
	out := api.Build(api.BuildOptions{
		Stdin:      &api.StdinOptions{Contents: presetSource, ResolveDir: dir, Sourcefile: entry},
		Bundle:     true,
		Format:     api.FormatIIFE,
		GlobalName: "preset",
		Target:     api.ES2017, // what the interpreter has for certain
		Platform:   api.PlatformNeutral,
		Define:     map[string]string{"import.meta.url": `"file:///"`, "process": "{}"},
		LogLevel:   api.LogLevelSilent,
		Plugins: []api.Plugin{{Name: "nothing", Setup: func(build api.PluginBuild) {
			build.OnResolve(api.OnResolveOptions{Filter: "^[^.]"}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
				if args.Kind == api.ResolveEntryPoint || slices.ContainsFunc(pinned, func(p npm.Package) bool { return p.Name == args.Path }) {
					return api.OnResolveResult{}, nil
				}
				return api.OnResolveResult{Path: args.Path, Namespace: "nothing"}, nil
			})
			build.OnLoad(api.OnLoadOptions{Filter: ".", Namespace: "nothing"}, func(api.OnLoadArgs) (api.OnLoadResult, error) {
				code := nothing
				return api.OnLoadResult{Contents: &code}, nil
			})
		}}},
	})
	if len(out.Errors) > 0 {
		return "", fmt.Errorf("bundle it: %s", out.Errors[0].Text)
	}
	vm := goja.New()
	defer context.AfterFunc(ctx, func() { vm.Interrupt(context.Cause(ctx)) })()
	if _, err := vm.RunScript(entry, string(out.OutputFiles[0].Contents)); err != nil {
		return "", err
	}
	run, ok := goja.AssertFunction(vm.Get("preset").ToObject(vm).Get("evaluate"))
	if !ok {
		return "", fmt.Errorf("%s exports no function", entry)
	}
	text, err := run(goja.Undefined(), vm.ToValue(date), vm.ToValue(append([]string{}, flags...)))
	if err != nil {
		return "", err
	}
	if goja.IsNull(text) {
		return "", errOld
	}
	return text.String(), nil
}

// resolve returns the files of specifiers, each as require.resolve of Node.js
// finds it from a directory. What is not found is left out.
func resolve(from map[string]string) map[string]string {
	files := map[string]string{}
	// Only a build resolves; this one has nothing to build.
	api.Build(api.BuildOptions{
		Stdin:      &api.StdinOptions{},
		Bundle:     true,
		Platform:   api.PlatformNode,
		Conditions: []string{}, // and not esbuild's "module"
		MainFields: []string{"main"},
		LogLevel:   api.LogLevelSilent,
		Plugins: []api.Plugin{{Name: "resolve", Setup: func(build api.PluginBuild) {
			build.OnStart(func() (api.OnStartResult, error) {
				for specifier, dir := range from {
					r := build.Resolve(specifier, api.ResolveOptions{ResolveDir: dir, Kind: api.ResolveJSRequireCall})
					if len(r.Errors) == 0 && filepath.IsAbs(r.Path) {
						files[specifier] = r.Path
					}
				}
				return api.OnStartResult{}, nil
			})
		}}},
	})
	return files
}

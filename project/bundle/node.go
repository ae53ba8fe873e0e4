package bundle

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/selvage-edge/selvage/project/nodecompat"
)

// Namespaces of modules that plugins make up.
const (
	requireNamespace = "require"      // stands in for require of a module that can only be imported
	shimNamespace    = "require-shim" // the same for an ES module that replaces a CommonJS one
	injectNamespace  = "inject"       // sets globals
)

// packageName matches specifiers of packages and of modules of Node.js.
const packageName = `^(?:node:|@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9_~-]`

// runtimeModules leaves cloudflare:* and workerd:* to the runtime.
//
// A module of the runtime can only be imported, so require of one becomes a
// small CommonJS module that imports it.
func runtimeModules(n *node) api.Plugin {
	return api.Plugin{Name: "runtime modules", Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: "^(?:cloudflare|workerd):."}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
			n.saw(args.Path)
			if args.Kind == api.ResolveJSRequireCall {
				return api.OnResolveResult{Path: args.Path, Namespace: requireNamespace}, nil
			}
			return external(args.Path), nil
		})
		build.OnLoad(api.OnLoadOptions{Filter: ".", Namespace: requireNamespace}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
			code := fmt.Sprintf("import lib from %q;\nmodule.exports = lib;\n", args.Path)
			if _, node := nodecompat.Builtin(args.Path); !node { // without a default export
				code = fmt.Sprintf("import * as lib from %q;\nmodule.exports = lib;\n", args.Path)
			}
			return api.OnLoadResult{Contents: &code, Loader: api.LoaderJS}, nil
		})
	}}
}

// node makes Node.js of a Worker what it is under wrangler. esbuild calls it
// from many goroutines.
type node struct {
	opts Options
	mode nodecompat.Mode

	mu       sync.Mutex
	ctx      context.Context // of the build that runs
	env      *nodecompat.Env // nil until it is needed
	failed   bool            // this build could not load it
	imported map[string]bool // modules of Node's and the runtime's, in this build
}

// reset begins a build.
func (n *node) reset(ctx context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ctx, n.failed, n.imported = ctx, false, map[string]bool{}
}

func (n *node) saw(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.imported[name] = true
}

// modules are those of Node's and the runtime's that the last build imported,
// sorted.
func (n *node) modules() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []string
	for name := range n.imported {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// load returns the environment, which is the same for all builds. When it
// cannot, one caller in a build gets the error and others nil.
func (n *node) load() (*nodecompat.Env, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.env != nil || n.failed {
		return n.env, nil
	}
	env, err := nodecompat.Load(n.ctx, n.opts.Dir, n.opts.CompatibilityDate, n.opts.CompatibilityFlags, n.opts.Progress)
	n.env, n.failed = env, err != nil
	return env, err
}

// native reports that only imports of packages need the environment.
func (n *node) native() bool {
	return nodecompat.Native(n.opts.CompatibilityDate, n.opts.CompatibilityFlags)
}

// inject returns what esbuild puts in front of the Worker.
func (n *node) inject() ([]string, error) {
	if n.mode != nodecompat.V2 || n.native() {
		return nil, nil
	}
	env, err := n.load()
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, in := range env.Inject {
		paths = append(paths, injectPath(env, in))
	}
	return append(paths, env.Polyfill...), nil
}

// injectPath names the module that sets globals; there is no such file.
func injectPath(env *nodecompat.Env, in nodecompat.Inject) string {
	return filepath.Join(env.Dir, "selvage-inject-"+strings.ReplaceAll(in.Module, "/", "-"))
}

func (n *node) plugin() api.Plugin {
	setup := n.outside
	if n.mode == nodecompat.V2 {
		setup = n.filledIn
	}
	return api.Plugin{Name: "node", Setup: setup}
}

// outside leaves modules with the prefix node: to the runtime, if the project
// has nothing of that name.
func (n *node) outside(build api.PluginBuild) {
	build.OnResolve(api.OnResolveOptions{Filter: "^node:."}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
		if _, again := args.PluginData.(asked); again {
			return api.OnResolveResult{}, nil
		}
		als := n.mode == nodecompat.ALS && args.Path == "node:async_hooks"
		if !als {
			r := build.Resolve(args.Path, api.ResolveOptions{Importer: args.Importer, Namespace: args.Namespace,
				ResolveDir: args.ResolveDir, Kind: args.Kind, PluginData: asked{}})
			if len(r.Errors) == 0 {
				return api.OnResolveResult{Path: r.Path, External: r.External, Namespace: r.Namespace, Suffix: r.Suffix, PluginData: r.PluginData}, nil
			}
		}
		n.saw(args.Path)
		r := external(args.Path)
		if !als && n.mode != nodecompat.V1 {
			r.Warnings = []api.Message{{Text: fmt.Sprintf(
				"%q is built into Node.js and missing here unless the Worker has the compatibility flag \"nodejs_compat\"", args.Path)}}
		}
		return r, nil
	})
}

// filledIn replaces Node's modules that the runtime does not have, and packages
// that do not work in it.
func (n *node) filledIn(build api.PluginBuild) {
	build.OnResolve(api.OnResolveOptions{Filter: packageName}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
		if args.Kind == api.ResolveEntryPoint {
			return api.OnResolveResult{}, nil
		}
		name, builtin := nodecompat.Builtin(args.Path)
		if builtin {
			n.saw(args.Path)
			if args.Kind == api.ResolveJSRequireCall {
				return api.OnResolveResult{Path: args.Path, Namespace: requireNamespace}, nil
			}
			if n.native() {
				if nodecompat.Known(name) {
					return external(name), nil
				}
				return api.OnResolveResult{}, nil // esbuild says that there is no such module
			}
		}
		env, err := n.load()
		if env == nil {
			return api.OnResolveResult{}, err
		}
		to, ok := env.Alias[args.Path]
		switch {
		case !ok:
			return api.OnResolveResult{}, nil
		case to.Native:
			return external(name), nil
		case args.Kind == api.ResolveJSRequireCall && (strings.HasPrefix(to.Specifier, "unenv/npm/") || strings.HasPrefix(to.Specifier, "unenv/mock/")):
			return api.OnResolveResult{Path: args.Path, Namespace: shimNamespace}, nil
		}
		return api.OnResolveResult{Path: to.File}, nil
	})
	build.OnLoad(api.OnLoadOptions{Filter: ".", Namespace: shimNamespace}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
		code := fmt.Sprintf(`import * as esm from %q;
module.exports = "default" in esm ? esm.default : {};
for (const [name, value] of Object.entries(esm)) {
	if (name !== "default") Object.defineProperty(module.exports, name, { value, enumerable: true });
}
`, args.Path)
		return api.OnLoadResult{Contents: &code, Loader: api.LoaderJS}, nil
	})
	n.globals(build)
}

// globals makes the modules up that set globals.
func (n *node) globals(build api.PluginBuild) {
	if n.native() {
		return
	}
	env, _ := n.load()
	if env == nil {
		return // inject has told why
	}
	for _, in := range env.Inject {
		path := injectPath(env, in)
		build.OnResolve(api.OnResolveOptions{Filter: "^" + regexp.QuoteMeta(path) + "$"}, func(api.OnResolveArgs) (api.OnResolveResult, error) {
			return api.OnResolveResult{Path: in.Module, Namespace: injectNamespace}, nil
		})
	}
	build.OnLoad(api.OnLoadOptions{Filter: ".", Namespace: injectNamespace}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
		var code strings.Builder
		for _, in := range env.Inject {
			if in.Module != args.Path {
				continue
			}
			for i, g := range in.Globals {
				fmt.Fprintf(&code, "import { %s as export%d } from %q;\nglobalThis.%s = export%d;\n", g.Name, i, in.Module, g.Global, i)
			}
		}
		text := code.String()
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS, ResolveDir: env.Dir}, nil
	})
}

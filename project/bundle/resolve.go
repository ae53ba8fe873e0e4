package bundle

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// aliased marks a replacement, which is not replaced again: aliases may name
// each other.
type aliased struct{}

// aliases replaces the specifiers in Options.Alias. A replacement that is a
// relative path starts from the project, wherever it is imported from.
func aliases(opts Options) api.Plugin {
	return api.Plugin{Name: "alias", Setup: func(build api.PluginBuild) {
		for from, to := range opts.Alias {
			build.OnResolve(api.OnResolveOptions{Filter: "^" + regexp.QuoteMeta(from) + "$"}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
				if _, again := args.PluginData.(aliased); again {
					return api.OnResolveResult{}, nil
				}
				dir := opts.Dir
				if !strings.HasPrefix(to, ".") && !filepath.IsAbs(to) && args.ResolveDir != "" {
					dir = args.ResolveDir // a package, as seen from the importer
				}
				r := build.Resolve(to, api.ResolveOptions{Importer: args.Importer, ResolveDir: dir, Kind: args.Kind, PluginData: aliased{}})
				if len(r.Errors) > 0 {
					return api.OnResolveResult{}, fmt.Errorf("alias %q: %s", from, r.Errors[0].Text)
				}
				return api.OnResolveResult{Path: r.Path, External: r.External, Namespace: r.Namespace, Suffix: r.Suffix, PluginData: r.PluginData}, nil
			})
		}
	}}
}

// nodeModules are Node's built-in modules by their bare names.
//
// Source: https://nodejs.org/api/modules.html#built-in-modules
var nodeModules = strings.Fields(`
	_http_agent _http_client _http_common _http_incoming _http_outgoing _http_server
	_stream_duplex _stream_passthrough _stream_readable _stream_transform _stream_wrap _stream_writable
	_tls_common _tls_wrap
	assert assert/strict async_hooks buffer child_process cluster console constants crypto dgram
	diagnostics_channel dns dns/promises domain events fs fs/promises http http2 https inspector
	inspector/promises module net os path path/posix path/win32 perf_hooks process punycode
	querystring readline readline/promises repl stream stream/consumers stream/promises stream/web
	string_decoder sys timers timers/promises tls trace_events tty url util util/types v8 vm wasi
	worker_threads zlib`)

// builtin returns the full name of one of Node's modules: "node:fs" for "fs".
func builtin(specifier string) (string, bool) {
	if strings.HasPrefix(specifier, "node:") {
		return specifier, true
	}
	if slices.Contains(nodeModules, specifier) {
		return "node:" + specifier, true
	}
	return "", false
}

// requireNamespace holds the modules that stand in for require calls.
const requireNamespace = "require"

// builtins leaves the runtime's own modules to the runtime: cloudflare:*,
// workerd:*, node:* and, with nodejs_compat, Node's modules by bare name.
//
// A module of the runtime can only be imported, so require of one becomes a
// small CommonJS module that imports it.
func builtins(opts Options) api.Plugin {
	return api.Plugin{Name: "builtins", Setup: func(build api.PluginBuild) {
		quoted := make([]string, len(nodeModules))
		for i, m := range nodeModules {
			quoted[i] = regexp.QuoteMeta(m)
		}
		filter := "^(?:(?:cloudflare|workerd|node):.+|" + strings.Join(quoted, "|") + ")$"
		build.OnResolve(api.OnResolveOptions{Filter: filter}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
			name, node := builtin(args.Path)
			if !node {
				name = args.Path
			}
			if node && !opts.NodejsCompat && name != args.Path {
				return api.OnResolveResult{}, nil // maybe a package; if not, failure has the hint
			}
			var r api.OnResolveResult
			if args.Kind == api.ResolveJSRequireCall {
				r = api.OnResolveResult{Path: name, Namespace: requireNamespace}
			} else {
				r = external(name)
			}
			// node:async_hooks also comes with the flag nodejs_als.
			if node && !opts.NodejsCompat && name != "node:async_hooks" {
				r.Warnings = []api.Message{{Text: fmt.Sprintf(
					"%q is built into Node.js and missing here unless the Worker has the compatibility flag \"nodejs_compat\"", name)}}
			}
			return r, nil
		})
		build.OnLoad(api.OnLoadOptions{Filter: ".", Namespace: requireNamespace}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
			code := fmt.Sprintf("import lib from %q;\nmodule.exports = lib;\n", args.Path)
			if !strings.HasPrefix(args.Path, "node:") { // without a default export
				code = fmt.Sprintf("import * as lib from %q;\nmodule.exports = lib;\n", args.Path)
			}
			return api.OnLoadResult{Contents: &code, Loader: api.LoaderJS}, nil
		})
	}}
}

package bundle

import (
	"encoding/json"
	"maps"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

func (b *Bundler) buildOptions(format api.Format, c *collector) api.BuildOptions {
	o := b.opts
	nodeEnv, _ := json.Marshal(o.NodeEnv)
	define := map[string]string{
		"process.env.NODE_ENV":            string(nodeEnv),
		"global.process.env.NODE_ENV":     string(nodeEnv),
		"globalThis.process.env.NODE_ENV": string(nodeEnv),
	}
	// From this date on the runtime has navigator; until then libraries that
	// look at it would fail.
	// Source: https://developers.cloudflare.com/workers/configuration/compatibility-flags/#global-navigator
	if o.CompatibilityDate >= "2022-03-21" {
		define["navigator.userAgent"] = `"Cloudflare-Workers"`
	}
	maps.Copy(define, o.Define)
	return api.BuildOptions{
		EntryPoints:       []string{o.Entry},
		AbsWorkingDir:     o.Dir,
		Outfile:           filepath.Join(o.Dir, b.mainModule()), // never written; sources are relative to it
		AllowOverwrite:    true,
		Bundle:            true,
		Metafile:          true,
		Format:            format,
		Target:            api.ES2024,
		Platform:          platforms[o.Platform],
		Conditions:        o.Conditions,
		Supported:         map[string]bool{"import-source": true},
		Sourcemap:         api.SourceMapLinked,
		SourcesContent:    api.SourcesContentExclude, // a fifth of the time of a rebuild; the files are beside us
		Define:            define,
		KeepNames:         o.KeepNames,
		MinifyWhitespace:  o.Minify,
		MinifyIdentifiers: o.Minify,
		MinifySyntax:      o.Minify,
		Tsconfig:          o.TSConfig,
		JSXFactory:        o.JSXFactory,
		JSXFragment:       o.JSXFragment,
		Loader:            loaders,
		External:          []string{"__STATIC_CONTENT_MANIFEST"},
		LogLevel:          api.LogLevelSilent,
		Plugins:           []api.Plugin{aliases(o), c.plugin(), runtimeModules(b.node), b.node.plugin()},
	}
}

var platforms = map[string]api.Platform{
	"": api.PlatformBrowser, "browser": api.PlatformBrowser, "node": api.PlatformNode, "neutral": api.PlatformNeutral,
}

var loaders = map[string]api.Loader{".js": api.LoaderJSX, ".mjs": api.LoaderJSX, ".cjs": api.LoaderJSX}

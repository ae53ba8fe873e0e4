package bundle

import (
	"fmt"
	"path/filepath"
	"regexp"
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

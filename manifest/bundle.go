package manifest

import (
	"slices"

	"github.com/selvage-edge/selvage/bundle"
)

// BundleOptions are the options that build the Worker for development. They
// make sense only if Main is not empty.
func (m *Manifest) BundleOptions() bundle.Options {
	b := m.Build
	opts := bundle.Options{
		Entry:                 m.Main,
		Dir:                   m.Dir,
		BaseDir:               b.BaseDir,
		NoBundle:              b.NoBundle,
		FindAdditionalModules: b.FindAdditionalModules,
		PreserveFileNames:     b.PreserveFileNames,
		Define:                b.Define,
		Alias:                 b.Alias,
		NodejsCompat: slices.Contains(m.CompatibilityFlags, "nodejs_compat") ||
			slices.Contains(m.CompatibilityFlags, "nodejs_compat_v2"),
		CompatibilityDate: m.CompatibilityDate,
		Minify:            b.Minify,
		KeepNames:         b.KeepNames,
		TSConfig:          b.TSConfig,
		JSXFactory:        b.JSXFactory,
		JSXFragment:       b.JSXFragment,
	}
	for _, r := range b.Rules {
		opts.Rules = append(opts.Rules, bundle.Rule{Type: r.Type, Globs: r.Globs, Fallthrough: r.Fallthrough != nil && *r.Fallthrough})
	}
	return opts
}

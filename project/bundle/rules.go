package bundle

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/selvage-edge/selvage/config"
)

// Rule says of which type the files are that match one of Globs.
//
// Source: https://developers.cloudflare.com/workers/wrangler/configuration/#bundling
type Rule struct {
	// Type is ESModule, CommonJS, CompiledWasm, Text or Data.
	Type string
	// Globs match import specifiers, where "*" stands for anything, or paths
	// below the base directory, where "*" stands for anything but a slash.
	// "**/" stands for any directories.
	Globs []string
	// Fallthrough: later rules of the same Type apply, too.
	Fallthrough bool
}

var defaultRules = []Rule{
	{Type: "Text", Globs: []string{"**/*.txt", "**/*.html", "**/*.sql"}},
	{Type: "Data", Globs: []string{"**/*.bin"}},
	{Type: "CompiledWasm", Globs: []string{"**/*.wasm", "**/*.wasm?module"}},
}

var moduleTypes = map[string]config.ModuleType{
	"ESModule":     config.ESModule,
	"CommonJS":     config.CommonJSModule,
	"CompiledWasm": config.WasmModule,
	"Text":         config.TextModule,
	"Data":         config.DataModule,
}

// rule is a Rule ready to match.
type rule struct {
	typ     config.ModuleType
	pattern *regexp.Regexp // of paths
	imports *regexp.Regexp // of import specifiers
	// shadowed: an earlier rule of the type has no fallthrough.
	shadowed bool
}

// script: the files are JavaScript, which esbuild handles when it bundles.
func (r rule) script() bool {
	return r.typ == config.ESModule || r.typ == config.CommonJSModule
}

type rules []rule

// match returns the first rule for a path. If only a shadowed one matches, that
// is returned.
func (rs rules) match(path string) (rule, bool) {
	return rs.first(func(r rule) bool { return r.pattern.MatchString(path) })
}

// matchImport is match for an import specifier.
func (rs rules) matchImport(specifier string) (rule, bool) {
	return rs.first(func(r rule) bool { return r.imports.MatchString(specifier) })
}

// shadow is an error if an ignored rule matches a path.
func (rs rules) shadow(path string) error {
	for _, r := range rs {
		if r.shadowed && r.imports.MatchString(path) {
			return fmt.Errorf("%s matches a module rule that is ignored, because an earlier rule of its type lacks fallthrough = true", path)
		}
	}
	return nil
}

func (rs rules) first(matches func(rule) bool) (rule, bool) {
	var shadowed *rule
	for i, r := range rs {
		if !matches(r) {
			continue
		}
		if !r.shadowed {
			return r, true
		}
		if shadowed == nil {
			shadowed = &rs[i]
		}
	}
	if shadowed != nil {
		return *shadowed, true
	}
	return rule{}, false
}

func compileRules(opts Options) (rules, error) {
	all := append([]Rule{}, opts.Rules...)
	all = append(all, defaultRules...)
	var rs rules
	complete := map[string]bool{}
	for _, r := range all {
		typ, ok := moduleTypes[r.Type]
		if !ok {
			return nil, fmt.Errorf("module rule for %q: modules of type %s are not supported", strings.Join(r.Globs, ", "), r.Type)
		}
		patterns, loose := make([]string, len(r.Globs)), make([]string, len(r.Globs))
		for i, g := range r.Globs {
			patterns[i] = globPattern(g)
			loose[i] = stars.ReplaceAllString(regexp.QuoteMeta(g), ".*")
		}
		pattern, err := regexp.Compile("^(?:" + strings.Join(patterns, "|") + ")$")
		if err != nil {
			return nil, fmt.Errorf("module rule for %q: %w", strings.Join(r.Globs, ", "), err)
		}
		imports, err := regexp.Compile("^(?:" + strings.Join(loose, "|") + ")$")
		if err != nil {
			return nil, fmt.Errorf("module rule for %q: %w", strings.Join(r.Globs, ", "), err)
		}
		if len(r.Globs) > 0 {
			rs = append(rs, rule{typ, pattern, imports, complete[r.Type]})
		}
		if !r.Fallthrough {
			complete[r.Type] = true
		}
	}
	return rs, nil
}

// stars are the stars of a quoted glob.
var stars = regexp.MustCompile(`(?:\\\*)+`)

// globPattern is a glob as a regular expression. Only stars are special.
func globPattern(glob string) string {
	var b strings.Builder
	for i := 0; i < len(glob); i++ {
		if glob[i] != '*' {
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
			continue
		}
		start := i
		for i+1 < len(glob) && glob[i+1] == '*' {
			i++
		}
		atStart := start == 0 || glob[start-1] == '/'
		switch {
		case i == start || !atStart:
			b.WriteString(`[^/]*`)
		case i+1 == len(glob):
			b.WriteString(`.*`)
		case glob[i+1] == '/':
			b.WriteString(`(?:[^/]*/)*`)
			i++ // the slash
		default:
			b.WriteString(`[^/]*`)
		}
	}
	return b.String()
}

package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/selvage-edge/selvage/config"
)

// exports are the names that the entry point's own text exports. They decide
// the format of the Worker, as under wrangler: with a default export it is an
// ES module, otherwise a service-worker script, even if "export *" would bring
// a default export along.
func (b *Bundler) exports() ([]string, error) {
	o := b.opts
	out := api.Build(api.BuildOptions{
		EntryPoints: []string{o.Entry}, AbsWorkingDir: o.Dir, Outfile: filepath.Join(o.Dir, "index.js"), AllowOverwrite: true,
		Metafile: true, Format: api.FormatESModule, Target: api.ESNext, LogLevel: api.LogLevelSilent,
		Loader: loaders, Tsconfig: o.TSConfig,
	})
	if len(out.Errors) > 0 {
		return nil, b.failure(out.Errors)
	}
	var r Result
	err := r.readMetafile(out.Metafile, o.Dir)
	return r.Exports, err
}

// script builds a service-worker script.
func (b *Bundler) script() (*Result, error) {
	r, err := b.run(api.FormatIIFE, nil)
	if err != nil {
		return nil, err
	}
	if names := b.node.modules(); len(names) > 0 {
		return nil, &Error{Problems: []Problem{{File: b.show(b.opts.Entry),
			Text: fmt.Sprintf("a service-worker script cannot import %s: only ES modules can; change the entry point to `export default { … }`", strings.Join(names, ", "))}}}
	}
	r.ServiceWorker = true
	r.Modules[0].Type = config.CommonJSModule
	for _, m := range r.Modules[1:] {
		r.Globals = append(r.Globals, Global{globalName("./" + m.Name), m.Name})
	}
	return r, nil
}

var notInNames = regexp.MustCompile(`[^a-zA-Z0-9_$]`)

// globalName is the variable by which a service-worker script has a module.
func globalName(path string) string { return notInNames.ReplaceAllString(path, "_") }

// partNamespace has the modules that a service-worker script has in variables.
const partNamespace = "part"

func loadPart(args api.OnLoadArgs) (api.OnLoadResult, error) {
	code := "export default " + globalName("./"+args.Path) + ";"
	return api.OnLoadResult{Contents: &code, Loader: api.LoaderJS}, nil
}

// legacyImports are the files beside the entry point, by their bare names: the
// first wrangler let modules that match a rule be imported so, from anywhere.
func legacyImports(entry string) map[string]string {
	dir := filepath.Dir(entry)
	files, _ := os.ReadDir(dir) // esbuild reports what cannot be read
	byName := map[string]string{}
	for _, f := range files {
		if f.Type().IsRegular() && f.Name() != filepath.Base(entry) {
			byName[f.Name()] = filepath.Join(dir, f.Name())
		}
	}
	return byName
}

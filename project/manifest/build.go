package manifest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/selvage-edge/selvage/config"
)

func (l *loader) loadBuild() {
	b := &l.m.Build
	var custom struct {
		Command  string
		Cwd      string
		WatchDir json.RawMessage `json:"watch_dir"`
	}
	l.decode("build", &custom)
	if b.Command = custom.Command; b.Command != "" {
		b.Cwd = l.path(custom.Cwd)
		if custom.Cwd == "" {
			b.Cwd = l.m.Dir
		}
		dirs := []string{"src"}
		if one := ""; json.Unmarshal(custom.WatchDir, &one) == nil {
			dirs = []string{one}
		} else if custom.WatchDir != nil {
			_ = json.Unmarshal(custom.WatchDir, &dirs) // checked: a string or strings
		}
		for _, d := range dirs {
			b.WatchDirs = append(b.WatchDirs, l.path(d))
		}
	}

	b.NoBundle = l.flag("no_bundle", false)
	b.FindAdditionalModules = l.flag("find_additional_modules", b.NoBundle)
	b.PreserveFileNames = l.flag("preserve_file_names", false)
	b.Minify = l.flag("minify", false)
	b.KeepNames = l.flag("keep_names", true)
	b.UploadSourceMaps = l.flag("upload_source_maps", false)
	b.JSXFactory, b.JSXFragment = l.text("jsx_factory"), l.text("jsx_fragment")
	l.decode("rules", &b.Rules)
	l.decode("define", &b.Define)
	l.decode("alias", &b.Alias)
	if dir := l.text("base_dir"); dir != "" {
		b.BaseDir = l.path(dir)
	} else if l.m.Main != "" {
		b.BaseDir = filepath.Dir(l.m.Main)
	}
	if file := l.text("tsconfig"); file != "" {
		b.TSConfig = l.path(file)
	}
}

func (l *loader) loadAssets() {
	n, path := l.get("assets")
	if n == nil {
		return
	}
	a := &Assets{
		Directory:        n.get("directory").str(),
		Binding:          n.get("binding").str(),
		HTMLHandling:     "auto-trailing-slash",
		NotFoundHandling: "none",
	}
	if a.Directory == "" {
		l.errorf(n, path+".directory", "is missing: name the directory of the static files")
		return
	}
	a.Directory = l.path(a.Directory)
	if info, err := os.Stat(a.Directory); l.m.Build.Command == "" && !l.opts.Deployed && (err != nil || !info.IsDir()) {
		hint := NeedsBuild(l.m.Root)
		if hint != "" {
			hint = "; " + hint
		}
		l.errorf(n.get("directory"), path+".directory", "there is no directory %s%s", a.Directory, hint)
	}
	if v := n.get("html_handling"); v != nil {
		a.HTMLHandling = v.str()
	}
	if v := n.get("not_found_handling"); v != nil {
		a.NotFoundHandling = v.str()
	}
	if v := n.get("run_worker_first"); v != nil && v.kind == isBool {
		a.RunWorkerFirst = v.truth
	} else {
		v.decode(&a.RunWorkerFirstPaths)
	}
	if l.m.Main == "" && (a.Binding != "" || a.RunWorkerFirst || len(a.RunWorkerFirstPaths) > 0) {
		l.errorf(n, path, "binding and run_worker_first are for a Worker with code: add main, or remove them")
	}
	l.m.Assets = a
}

// loadTraffic reads what brings requests and events to the Worker.
func (l *loader) loadTraffic() {
	m := l.m
	one, path := l.get("route")
	many, _ := l.get("routes")
	if one != nil && many != nil {
		l.errorf(one, path, "route and routes exclude each other; keep one")
	}
	if one != nil {
		l.addRoute(one)
	}
	if many != nil {
		for _, n := range many.items {
			l.addRoute(n)
		}
	}
	m.WorkersDev = l.flag("workers_dev", len(m.Routes) == 0)
	m.PreviewURLs = l.flag("preview_urls", m.WorkersDev)

	triggers, _ := l.get("triggers")
	triggers.get("crons").decode(&m.Crons)

	limits, path := l.get("limits")
	for key, set := range map[string]func(int){
		"cpu_ms":      func(v int) { m.Limits.CPU = time.Duration(v) * time.Millisecond },
		"subrequests": func(v int) { m.Limits.Subrequests = v },
		"cells":       func(v int) { m.Limits.Cells = v },
	} {
		if n := limits.get(key); n != nil {
			v := 0
			n.decode(&v)
			if v <= 0 {
				l.mismatch(n, path+"."+key, "a whole number above 0")
			}
			set(v)
		}
	}
	l.loadConsumers()
	l.loadWorkflows()
}

func (l *loader) addRoute(n *node) {
	r := config.Route{Worker: l.m.Name, Pattern: n.str()}
	if n.kind == isObject {
		r.Pattern = n.get("pattern").str()
		r.Zone = n.get("zone_name").str()
		if c := n.get("custom_domain"); c != nil {
			r.CustomDomain = c.truth
		}
		if e := n.get("enabled"); e != nil && !e.truth {
			return
		}
	}
	l.m.Routes = append(l.m.Routes, r)
}

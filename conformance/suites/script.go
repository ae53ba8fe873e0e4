package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"github.com/selvage-edge/selvage"
	"github.com/selvage-edge/selvage/conformance/verdict"
)

// script is a module whose exports have methods test(controller, env, ctx).
type script struct {
	// file is its path in the checkout.
	file string
	// classes are its Durable Object classes, and whether they have ctx.storage.sql.
	classes map[string]bool
	// objects, queues and vars are its bindings: to a class, a queue, a text.
	objects, queues, vars map[string]string
	// flags are its compatibility flags but those that are experimental.
	flags []string
}

// name is the script's, without folder and extension.
func (s script) name() string { return strings.TrimSuffix(path.Base(s.file), ".js") }

// date is the compatibility date of all suites.
const date = "2026-11-01"

// patience is how long a test may take.
const patience = 30 * time.Second

// runner is the main module of the project. The tests are those of the script's
// exports that have one, by their names.
const runner = `import * as suite from "./suite.js";
export * from "./suite.js";

const tests = Object.entries(suite).filter(([, x]) => typeof x?.test === "function");

export default {
  ...suite.default,
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return Response.json(tests.map(([name]) => name));
    const [, subject] = tests.find(([name]) => "/" + name === pathname);
    try {
      await subject.test({}, env, ctx);
      return new Response("");
    } catch (e) {
      return new Response(String(e?.stack ?? e), { status: 500 });
    }
  },
};
`

// project makes a project of the script.
func (s script) project(source []byte) fstest.MapFS {
	type object map[string]any
	config := object{"name": "suite", "main": "main.js", "compatibility_date": date, "compatibility_flags": append([]string{"nodejs_compat"}, s.flags...)}
	migration := object{"tag": "v1"}
	for _, class := range slices.Sorted(maps.Keys(s.classes)) {
		key := "new_classes"
		if s.classes[class] {
			key = "new_sqlite_classes"
		}
		list, _ := migration[key].([]string)
		migration[key] = append(list, class)
	}
	if len(s.classes) > 0 {
		config["migrations"] = []object{migration}
	}
	var objects, producers []object
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		objects = append(objects, object{"name": name, "class_name": s.objects[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		producers = append(producers, object{"binding": name, "queue": s.queues[name]})
	}
	config["durable_objects"] = object{"bindings": append([]object{}, objects...)}
	config["queues"] = object{"producers": append([]object{}, producers...)}
	config["vars"] = s.vars
	if s.vars == nil {
		config["vars"] = object{}
	}
	text, err := json.Marshal(config)
	if err != nil {
		panic(err) // of texts
	}
	return fstest.MapFS{"p/wrangler.json": {Data: text}, "p/main.js": {Data: []byte(runner)}, "p/suite.js": {Data: source}}
}

// run runs each test of the suite.
func (s script) run(ctx context.Context, dir string, log *slog.Logger) (map[string]verdict.Outcome, error) {
	source, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(s.file)))
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp("", "suites-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(data)
	p, err := selvage.New(ctx, selvage.Project(s.project(source), "p"), selvage.WithData(data), selvage.WithLogger(log))
	if err != nil {
		return nil, err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		p.Close(ending) // objects that wait are cut off
	}()
	get := func(path string) (int, string) {
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		w := httptest.NewRecorder()
		p.Handler().ServeHTTP(w, httptest.NewRequestWithContext(limited, http.MethodGet, "http://localhost"+path, nil))
		if limited.Err() != nil {
			return 0, fmt.Sprintf("it did not end within %v", patience)
		}
		return w.Code, w.Body.String()
	}
	status, body := get("/")
	var names []string
	if err := json.Unmarshal([]byte(body), &names); status != http.StatusOK || err != nil {
		return nil, fmt.Errorf("the script does not load: %d %.500s", status, body)
	}
	results := map[string]verdict.Outcome{}
	for _, name := range names {
		if status, text := get("/" + name); status != http.StatusOK {
			results[name] = fmt.Sprintf("%d %s", status, text)
		} else {
			results[name] = ""
		}
	}
	return results, nil
}

func sorted(results map[string]verdict.Outcome) []string { return slices.Sorted(maps.Keys(results)) }

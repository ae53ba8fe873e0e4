package project

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// open loads the project of an archive.
func open(t *testing.T, archive string) *Project {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := &Project{Path: dir, Output: io.Discard}
	if _, err := p.Load(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestBuildProblems(t *testing.T) {
	const head = "-- wrangler.toml --\nname='w'\ncompatibility_date='2026-01-01'\n"
	const vite = "-- package.json --\n{\"devDependencies\": {\"vite\": \"7\"}, \"scripts\": {\"build\": \"vite build\"}}\n-- index.js --\n"
	tests := []struct{ name, archive, want, never string }{
		{"an import that only the build tool resolves", head + "main='index.js'\n" + vite + "import x from 'virtual:server'; export default x;",
			`this project is built by Vite: run "npm run build" first`, ""},
		{"an import that is not installed", head + "main='index.js'\n" + vite + "import x from 'hono'; export default x;",
			`Could not resolve "hono"`, "built by"},
		{"a build command that makes something else", head + "main='out/index.js'\nbuild.command='true'\n",
			"was not found after running custom build: true; let main be the file that it makes", ""},
		{"a Durable Object class that is not exported", head + "main='src/index.ts'\ndurable_objects.bindings=[{name='D', class_name='Gone'}]\n-- src/index.ts --\nexport default {}; export type Gone = 1;",
			"which the entry point does not export: Gone; export them from src/index.ts", ""},
		{"a Durable Object class of a service worker", head + "main='index.js'\ndurable_objects.bindings=[{name='D', class_name='D'}]\n-- index.js --\naddEventListener('fetch', () => {}); export class D {}",
			"index.js: a service-worker script cannot have the Durable Object class D", ""},
		{"a build command that fails", head + "main='out/index.js'\nbuild.command='exit 3'\n", "failed with exit code 3", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := open(t, tt.archive).Build(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.never != "" && strings.Contains(err.Error(), tt.never) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestBuildCommandMakesStaticFiles(t *testing.T) {
	p := open(t, `
-- wrangler.toml --
name = "site"
compatibility_date = "2026-01-01"
assets.directory = "public"
build.command = "mkdir public && echo $WRANGLER_COMMAND > public/index.html"
`)
	if _, err := p.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f, ok := p.Version.Assets.Files.Lookup("/index.html"); !ok || f.Size != 4 {
		t.Errorf("found %v, %v", f, ok)
	}
}

func TestEntryPointWithoutExtension(t *testing.T) {
	for name, archive := range map[string]string{
		"is there": "\n-- src/index.ts --\nexport default {};\n",
		"is made":  "build.command = \"mkdir src && echo 'export default {};' > src/index.ts\"\n",
	} {
		p := open(t, "-- wrangler.toml --\nname = \"w\"\nmain = \"src/index\"\ncompatibility_date = \"2026-01-01\"\n"+archive)
		if _, err := p.Build(t.Context()); err != nil || p.Version.MainModule != "index.js" {
			t.Errorf("one that %s: %v", name, err)
		}
	}
}

// A service-worker script has the modules that it imports as global variables.
func TestModulesOfServiceWorker(t *testing.T) {
	p := open(t, `
-- wrangler.toml --
name = "w"
main = "index.js"
compatibility_date = "2026-01-01"
preserve_file_names = true
-- index.js --
import a from "./a.txt";
import b from "./lib/b.bin";
addEventListener("fetch", (event) => event.respondWith(new Response(a + b)));
-- a.txt --
-- lib/b.bin --
`)
	if _, err := p.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range p.Version.Bindings {
		got = append(got, string(b.Raw))
	}
	want := []string{`{"name":"__a_txt","part":"a.txt","type":"text_blob"}`, `{"name":"__lib_b_bin","part":"lib/b.bin","type":"data_blob"}`}
	if !slices.Equal(got, want) {
		t.Errorf("the bindings are %s", got)
	}
}

func TestPartsOfModule(t *testing.T) {
	const head = "-- wrangler.toml --\nname = \"w\"\nmain = \"index.js\"\ncompatibility_date = \"2026-01-01\"\ntext_blobs = { A = \"a.txt\" }\n-- a.txt --\n-- index.js --\n"
	for source, want := range map[string]int{"export default {};": 1, "addEventListener('fetch', () => {});": 0} {
		warnings, err := open(t, head+source).Build(t.Context())
		if err != nil || len(warnings) != want {
			t.Errorf("%s: %v, %q, want %d", source, err, warnings, want)
		}
	}
}

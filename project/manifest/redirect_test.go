package manifest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// unpack writes the files of an archive below a new folder.
func unpack(t testing.TB, archive string) string {
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
	return dir
}

const built = `
-- wrangler.toml --
name = "user"
main = "src/gone.ts"
-- .dev.vars --
SECRET = "top"
-- .dev.vars.staging --
SECRET = "staging"
-- dist/.dev.vars --
SECRET = "not this one"
-- dist/index.js --
-- dist/wrangler.json --
{"name": "built", "main": "index.js", "compatibility_date": "2026-01-01", "topLevelName": "user", "targetEnvironment": "staging"}
-- .wrangler/deploy/config.json --
{"configPath": "../../dist/wrangler.json", "auxiliaryWorkers": []} // as the Vite plugin writes it
`

func TestRedirect(t *testing.T) {
	dir := unpack(t, built)
	m, warnings, err := Load(dir, Options{Env: "staging"})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, warnings %v", err, warnings)
	}
	if m.Name != "built" || m.Root != dir || m.Dir != filepath.Join(dir, "dist") || m.Main != filepath.Join(dir, "dist", "index.js") || !m.Redirected {
		t.Errorf("name %s, root %s, dir %s, main %s", m.Name, m.Root, m.Dir, m.Main)
	}
	if s := string(m.Bindings[0].Raw); !strings.Contains(s, `"staging"`) {
		t.Errorf("the secrets are not those beside the user's configuration: %s", s)
	}
	for _, name := range []string{"dist/wrangler.json", "wrangler.toml", ".wrangler/deploy/config.json"} {
		if !slices.Contains(m.Inputs, filepath.Join(dir, name)) {
			t.Errorf("a change of %s is not noticed", name)
		}
	}
	if _, _, err := Load(filepath.Join(dir, "wrangler.toml"), Options{}); err == nil || !strings.Contains(err.Error(), "src/gone.ts") {
		t.Errorf("a configuration that is named is the one that counts; got %v", err)
	}
}

func TestRedirectProblems(t *testing.T) {
	const named = "-- wrangler.toml --\nname='w'\n"
	const deploy = "-- .wrangler/deploy/config.json --\n"
	const to = deploy + `{"configPath": "../../wrangler.json"}` + "\n-- index.js --\n-- wrangler.json --\n"
	tests := []struct{ name, archive, env, want string }{
		{"not JSON", named + deploy + "{", "", "failed to parse the deploy configuration file at DIR/.wrangler/deploy/config.json: "},
		{"no path", named + deploy + "{}", "", `a deploy configuration file was found at DIR/.wrangler/deploy/config.json, but it is not valid: the required "configPath" property was not found; build the project again`},
		{"not an object", named + deploy + "[]", "", `a deploy configuration file was found at`},
		{"leads nowhere", named + deploy + `{"configPath": "gone.json"}`, "", "there is a deploy configuration at DIR/.wrangler/deploy/config.json, but the redirected configuration path it points to, DIR/.wrangler/deploy/gone.json, does not exist; build the project again"},
		{"environments", to + `{"main": "index.js", "name": "w", "compatibility_date": "2026-01-01", "env": {"a": {}, "b": {}}}`, "", `env: redirected configurations cannot include environments, but there is a, b; report this to the author of the tool that generated the file`},
		{"another environment", to + `{"main": "index.js", "name": "w", "compatibility_date": "2026-01-01", "targetEnvironment": "a"}`, "b", `targetEnvironment: the environment "b" does not match the target environment "a" that was used when building the application; build it again for "b"`},
		{"no environment", to + `{"main": "index.js", "name": "w", "compatibility_date": "2026-01-01"}`, "b", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := unpack(t, tt.archive)
			m, _, err := Load(dir, Options{Env: tt.env})
			if tt.want == "" {
				if err != nil || m.Name != "w" {
					t.Errorf("%v, %v", m, err)
				}
				return
			}
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir, "DIR"), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestGenerated: a configuration as the two releases of wrangler write it out
// has nothing to warn of.
func TestGenerated(t *testing.T) {
	for _, release := range []string{"old", "new"} {
		data, err := os.ReadFile("testdata/generated." + release + ".json")
		if err != nil {
			t.Fatal(err)
		}
		_, warnings, err := load(t, "wrangler.json", string(data), Options{})
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, warnings %v", release, err, warnings)
		}
	}
}

func TestEnclosing(t *testing.T) {
	dir := unpack(t, built+"-- deep/er/x --\n-- other/wrangler.json --\n{}\n-- alone/.wrangler/deploy/config.json --\n{}\n")
	for from, want := range map[string]string{"": "", "deep/er": "", "dist": "!", "other": "!", "alone": "!"} {
		got, err := Enclosing(filepath.Join(dir, from))
		if want == "!" {
			if err == nil || !strings.Contains(err.Error(), "do not share the same base path") {
				t.Errorf("%s: %s, %v", from, got, err)
			}
		} else if err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%s: %s, %v", from, got, err)
		}
	}
	if got, err := Enclosing(t.TempDir()); err == nil || !strings.Contains(err.Error(), "has no wrangler.json") {
		t.Errorf("nothing to be found: %s, %v", got, err)
	}
}

func TestNeedsBuild(t *testing.T) {
	tests := []struct{ pkg, want string }{
		{`{"devDependencies": {"vite": "7", "astro": "5"}, "scripts": {"build": "astro build"}}`, `this project is built by Astro: run "npm run build" first, and what it built is what runs`},
		{`{"dependencies": {"vite": "7"}}`, `this project is built by Vite: run its build command first, and what it built is what runs`},
		{`{"dependencies": {"hono": "4"}}`, ``},
		{`{"dependencies": [`, ``},
	}
	for _, tt := range tests {
		dir := unpack(t, "-- package.json --\n"+tt.pkg+"\n-- wrangler.toml --\n"+head)
		if got := NeedsBuild(dir); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.pkg, got, tt.want)
		}
		if _, _, err := Load(dir, Options{}); err == nil || !strings.Contains(err.Error(), `"index.js" was not found`) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.pkg, err)
		}
	}
}

func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{`{"configPath": "../../dist/wrangler.json"}`, `{"configPath": 1, /**/}`, `[]`, "\ufeff{\"configPath\": \"\\ud800\"}", `{"configPath"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if path, err := redirectTarget(data); err != nil && path != "" {
			t.Errorf("both %q and %v", path, err)
		}
	})
}

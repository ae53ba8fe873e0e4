package manifest

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// load parses text as the file called name, with an entry point beside it.
func load(t testing.TB, name, text string, opts Options) (*Manifest, []Warning, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.js"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if opts.Now == nil {
		opts.Now = func() time.Time { return time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC) }
	}
	return parse(name, filepath.Join(dir, name), []byte(text), opts)
}

const head = "name='w'\nmain='index.js'\ncompatibility_date='2026-01-01'\n" // three lines of TOML

func TestProblems(t *testing.T) {
	tests := []struct{ name, file, text, want string }{
		{"wrong type", "wrangler.toml", head + "minify = 'yes'", `wrangler.toml:4:1: minify: expected true or false, got "yes"`},
		{"wrong type, JSON", "wrangler.jsonc", "{\n  // comment\n  \"name\": 7,\n}", `wrangler.jsonc:3:3: name: expected a string, got 7`},
		{"a TOML date is no string", "wrangler.toml", "name='w'\nmain='index.js'\ncompatibility_date=2026-01-01", `wrangler.toml:3:1: compatibility_date: expected a string, got the date 2026-01-01`},
		{"a TOML date in vars", "wrangler.toml", head + "[vars]\nD = 2024-01-02", `wrangler.toml:5:1: vars.D: TOML dates are not supported; write it as a string, "2024-01-02"`},
		{"a TOML time deep in vars", "wrangler.toml", head + "[vars]\nD = [{ at = 07:32:00 }]", `wrangler.toml:5:8: vars.D[0].at: TOML dates are not supported; write it as a string, "07:32:00"`},
		{"a TOML time in props", "wrangler.toml", head + "[[services]]\nbinding='S'\nservice='s'\nprops = { since = 2024-01-02T00:00:00Z }", `wrangler.toml:7:11: services[0].props.since: TOML dates are not supported; write it as a string, "2024-01-02T00:00:00Z"`},
		{"a TOML integer over 2^53", "wrangler.toml", head + "[vars]\nGUILD = 1234567890123456789", `wrangler.toml:5:1: vars.GUILD: the integer 1234567890123456789 cannot be represented losslessly in JavaScript; write it as a string, "1234567890123456789"`},
		{"of any notation, in any environment", "wrangler.toml", head + "[env.other]\nvars = { A = [0x20_0000_0000_0000] }", `wrangler.toml:5:15: env.other.vars.A[0]: the integer 9007199254740992 cannot be represented losslessly in JavaScript; write it as a string, "9007199254740992"`},
		{"a TOML integer over 2^63", "wrangler.toml", head + "[vars]\nA = 92233720368547758070", `wrangler.toml:5:5: not valid TOML: `},
		{"deep in a list", "wrangler.toml", head + "[[kv_namespaces]]\nbinding='A'\n[[kv_namespaces]]\nbinding=1", `wrangler.toml:7:1: kv_namespaces[1].binding: expected a string, got 1`},
		{"a missing key", "wrangler.toml", head + "[[services]]\nbinding='A'", `wrangler.toml:4:3: services[0].service: is missing: expected a string`},
		{"an enumeration", "wrangler.toml", head + "assets = { directory='.', html_handling='fancy' }", `wrangler.toml:4:27: assets.html_handling: expected one of "auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none", got "fancy"`},
		{"a choice of kinds", "wrangler.toml", head + "route = 5", `wrangler.toml:4:1: route: expected a string or an object with a pattern, got 5`},
		{"too large", "wrangler.json", `{"dev": {"port": 99999999999999999999}}`, `wrangler.json:1:10: dev.port: expected a whole number, got 99999999999999999999`},
		{"no directory of static files", "wrangler.toml", head + "assets.directory = 'gone'", `wrangler.toml:4:8: assets.directory: there is no directory `},
		{"no folder of a site", "wrangler.toml", head + "site.bucket = 'gone'", `wrangler.toml:4:6: site.bucket: there is no directory `},
		{"a site without a folder", "wrangler.toml", head + "[site]\ninclude=['a']", `wrangler.toml:4:2: site.bucket: is missing: expected a string`},
		{"a site beside assets", "wrangler.toml", head + "site.bucket='.'\nassets.directory='.'", `wrangler.toml:4:1: site: assets and site exclude each other; keep one`},
		{"a site with two entry points", "wrangler.toml", head + "site = { bucket='.', entry-point='x' }", `wrangler.toml:4:22: site.entry-point: main and site.entry-point exclude each other; remove site.entry-point`},
		{"a site's own entry point", "wrangler.toml", "name='w'\ncompatibility_date='2026-01-01'\n[site]\nbucket='.'", `wrangler.toml:3:2: site: the entry point "workers-site/index.js" was not found in DIR`},
		{"in the environment", "wrangler.toml", head + "[env.e]\nminify = 1", `wrangler.toml:5:1: env.e.minify: expected true or false, got 1`},
		{"no cells", "wrangler.toml", head + "limits = { cells = 0 }", `wrangler.toml:4:12: limits.cells: expected a whole number above 0, got 0`},
		{"no fraction", "wrangler.toml", head + "limits = { cpu_ms = 1.5 }", `wrangler.toml:4:12: limits.cpu_ms: expected a whole number, got 1.5`},
		{"one name for two bindings", "wrangler.toml", head + "vars = { A = '1' }\nkv_namespaces = [{ binding = 'A' }]", `wrangler.toml:4:10: vars.A: the name "A" is given to two bindings, KV namespace and variable; each needs its own`},
		{"no entry point", "wrangler.toml", "name='w'\ncompatibility_date='2026-01-01'", `wrangler.toml:1:1: main: is missing: name the entry point (main = "src/index.ts") or a directory of static files (assets.directory)`},
		{"absent entry point", "wrangler.toml", "name='w'\nmain='src/gone.ts'\ncompatibility_date='2026-01-01'", `wrangler.toml:2:1: main: the entry point "src/gone.ts" was not found in DIR`},
		{"a name no host can have", "wrangler.toml", "name='My Worker'\nmain='index.js'\ncompatibility_date='2026-01-01'", `wrangler.toml:1:1: name: expected lower-case letters, digits, dashes and underscores, got "My Worker"`},
		{"rate limit period", "wrangler.toml", head + "[[ratelimits]]\nname='R'\nnamespace_id='1'\nsimple={limit=1,period=30}", `wrangler.toml:7:17: ratelimits[0].simple.period: expected 10 or 60 (seconds), got 30`},
		{"route and routes", "wrangler.toml", head + "route='a/*'\nroutes=['b/*']", `wrangler.toml:4:1: route: route and routes exclude each other; keep one`},
		{"a bad date", "wrangler.toml", "name='w'\nmain='index.js'\ncompatibility_date='yesterday'", `wrangler.toml:3:1: compatibility_date: expected a date "YYYY-MM-DD", got "yesterday"`},
		{"broken TOML", "wrangler.toml", "name = 'w'\nmain = ", `wrangler.toml:2:7: not valid TOML: `},
		{"a TOML key twice", "wrangler.toml", "name = 'w'\nname = 'v'", `wrangler.toml:2:1: not valid TOML: `},
		{"broken JSON", "wrangler.json", "{\n  \"name\" 1\n}", `wrangler.json:2:10: not valid JSON: `},
		{"not an object", "wrangler.json", "[]", `wrangler.json:1:1: expected an object, got []`},
		{"a queue with two consumers", "wrangler.toml", head + "[[queues.consumers]]\nqueue='q'\n[[queues.consumers]]\nqueue='q'", `wrangler.toml:6:10: queues.consumers[1]: the queue "q" has a consumer already; it can have one`},
		{"a batch that is too large", "wrangler.toml", head + "[[queues.consumers]]\nqueue='q'\nmax_batch_size=101", `wrangler.toml:6:1: queues.consumers[0].max_batch_size: expected a whole number from 1 to 100, got 101`},
		{"a batch that waits too long", "wrangler.toml", head + "[[queues.consumers]]\nqueue='q'\nmax_batch_timeout=60.5", `wrangler.toml:6:1: queues.consumers[0].max_batch_timeout: expected 0 to 60 (seconds), got 60.5`},
		{"half a retry", "wrangler.toml", head + "[[queues.consumers]]\nqueue='q'\nmax_retries=1.5", `wrangler.toml:6:1: queues.consumers[0].max_retries: expected a whole number from 0 to 100, got 1.5`},
		{"a consumer of another type", "wrangler.toml", head + "[[queues.consumers]]\nqueue='q'\ntype='r2'", `wrangler.toml:6:1: queues.consumers[0].type: expected "worker" or "http_pull", got "r2"`},
		{"a migration that cannot be", "wrangler.toml", head + "[[migrations]]\ntag='v1'\ndeleted_classes=['Gone']", `wrangler.toml:4:3: migrations: migration "v1": deleted_classes: there is no class "Gone"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _, err := load(t, tt.file, tt.text, Options{Env: map[bool]string{true: "e"}[strings.Contains(tt.text, "[env.e]")]})
			if err == nil {
				t.Fatalf("no error; the name is %q", m.Name)
			}
			got := err.(Problems)[0].Error()
			want := tt.want
			if _, dir, ok := strings.Cut(got, "was not found in "); ok {
				want = strings.ReplaceAll(want, "DIR", dir)
			}
			if got != want && !(strings.HasSuffix(want, " ") && strings.HasPrefix(got, want)) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct{ name, text, env, want string }{
		{"none", head, "", ""},
		{"nearest key", head + "compatability_flags = []", "", `wrangler.toml:4:1: compatability_flags: unknown key; did you mean "compatibility_flags"?`},
		{"another case is another key", head + "[dev]\nPort='x'", "", `wrangler.toml:5:1: dev.Port: unknown key; did you mean "port"?`},
		{"nearest key, nested", head + "[assets]\ndirectory='.'\nbindng='A'", "", `wrangler.toml:6:1: assets.bindng: unknown key; did you mean "binding"?`},
		{"dashes", head + "kv-namespace = []", "", `wrangler.toml:4:1: kv-namespace: unknown key; did you mean "kv_namespaces"?`},
		{"nothing near", head + "zebra = 1", "", `wrangler.toml:4:1: zebra: unknown key; it has no effect`},
		{"not run yet", head + "[[vectorize]]\nbinding='B'\nindex_name='i'", "", `wrangler.toml:4:3: vectorize: is not supported yet; a binding it declares throws when it is used`},
		{"not asked for", head + "vectorize=[]\nlogpush=false\n[queues]\nproducers=[]", "", ``},
		{"remote", head + "[[kv_namespaces]]\nbinding='B'\nremote=true", "", `wrangler.toml:6:1: kv_namespaces[0].remote: remote bindings are not supported; the binding is served locally`},
		{"obsolete", head + "usage_model='bundled'", "", `wrangler.toml:4:1: usage_model: is no longer supported by wrangler and has no effect; remove it`},
		{"top level only", head + "[env.e]\nalias = {}", "e", `wrangler.toml:5:1: env.e.alias: is read at the top level only; move it there`},
		{"not inherited", head + "[vars]\nA='1'\n[env.e]", "e", `wrangler.toml:4:2: vars: is at the top level but not in env.e, and environments do not inherit it; add env.e.vars`},
		{"an environment nobody asked for", head + "[env.e]\nminify=1\nzebra=2", "", ``},
		{"a TOML date in an environment nobody asked for", head + "[env.e.vars]\nD=2024-01-02", "", ``},
		{"the largest integers", head + "[vars]\nA = 9_007_199_254_740_991\nB = -9007199254740991\nC = 1e300", "", ``},
		{"no such environment", head + "[env.e]", "f", `wrangler.toml:1:1: env.f: there is no such environment (there is "e"); using the top level`},
		{"no date", "name='w'\nmain='index.js'", "", `wrangler.toml:1:1: compatibility_date: is missing; using 2026-05-04. Add compatibility_date to keep the Worker's behaviour as the platform moves on`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings, err := load(t, "wrangler.toml", tt.text, Options{Env: tt.env})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range warnings {
				got = append(got, w.Error())
			}
			if all := strings.Join(got, "\n"); all != tt.want {
				t.Errorf("got  %s\nwant %s", all, tt.want)
			}
		})
	}
}

// TestInheritance: of each key, what the environment gets from the top level.
func TestInheritance(t *testing.T) {
	text := head + `
minify = true
compatibility_flags = ["nodejs_compat"]
routes = ["a.example/*"]
vars = { A = "top" }
define = { X = "1" }
alias = { a = "b" }
triggers = { crons = ["* * * * *"] }
kv_namespaces = [{ binding = "KV", id = "1" }]
migrations = [{ tag = "v1", new_sqlite_classes = ["Room"] }]
[env.bare]
[env.full]
name = "named"
minify = false
compatibility_flags = []
route = "b.example/*"
vars = { B = "env" }
define = { Y = "2" }
triggers = {}
kv_namespaces = [{ binding = "KV", id = "2" }]
`
	type facts struct {
		name, bindings, route, define, alias string
		minify                               bool
		flags, crons, classes                int
	}
	for env, want := range map[string]facts{
		"":     {"w", "KV A", "a.example/*", "X", "a", true, 1, 1, 1},
		"bare": {"w-bare", "", "a.example/*", "", "a", true, 1, 1, 1},
		"full": {"named", "KV B", "b.example/*", "Y", "a", false, 0, 0, 1},
	} {
		m, _, err := load(t, "wrangler.toml", text, Options{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, b := range m.Bindings {
			names = append(names, b.Name)
		}
		got := facts{m.Name, strings.Join(names, " "), m.Routes[0].Pattern, strings.Join(sortedKeys(m.Build.Define), " "),
			strings.Join(sortedKeys(m.Build.Alias), " "), m.Build.Minify, len(m.CompatibilityFlags), len(m.Crons), len(m.Classes)}
		if got != want {
			t.Errorf("env %q:\ngot  %+v\nwant %+v", env, got, want)
		}
	}
}

func TestVarsFromTheCommandLineWin(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"wrangler.toml": head + "vars = { A = 'file', B = 'file', C = 'file' }",
		"index.js":      "",
		".dev.vars":     "A=secret\nB=secret\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, _, err := Load(dir, Options{Vars: map[string]string{"A": "flag", "D": "flag"}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, b := range m.Bindings {
		var v struct{ Text string }
		if err := b.Decode(&v); err != nil {
			t.Fatal(err)
		}
		got[b.Name] = b.Type + " " + v.Text
	}
	want := map[string]string{"A": "plain_text flag", "B": "secret_text secret", "C": "plain_text file", "D": "plain_text flag"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRequiredSecrets(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"wrangler.toml": head + "secrets = { required = ['HERE', 'MISSING'] }",
		"index.js":      "",
		".dev.vars":     "HERE=1\nOTHER=2\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, warnings, err := Load(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m.Secrets, []string{"HERE"}) {
		t.Errorf("secrets %q: only the listed ones are taken", m.Secrets)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0].Error(), "missing MISSING; add") {
		t.Errorf("warnings %v", warnings)
	}
}

func TestParseEnv(t *testing.T) {
	tests := []struct {
		text string
		want []variable
	}{
		{"A=1", []variable{{"A", "1"}}},
		{"  export A = 1 # one\r\nB=two words  \n", []variable{{"A", "1"}, {"B", "two words"}}},
		{"# A=1\n\nnonsense\nB=", []variable{{"B", ""}}},
		{`A='single \n $X # kept' # comment`, []variable{{"A", `single \n $X # kept`}}},
		{`A="double \n line"`, []variable{{"A", "double \n line"}}},
		{"KEY=\"-----BEGIN\nabc\n-----END\"\nB=1", []variable{{"KEY", "-----BEGIN\nabc\n-----END"}, {"B", "1"}}},
		{"A=`it's`", []variable{{"A", "it's"}}},
		{"A='unclosed\nB=1", []variable{{"A", "'unclosed"}, {"B", "1"}}},
		{"A: yaml", []variable{{"A", "yaml"}}},
		{"A=p$ss", []variable{{"A", "p$ss"}}},
	}
	for _, tt := range tests {
		if got := parseEnv(tt.text); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestExpand(t *testing.T) {
	known := map[string]string{"A": "1"}
	for in, want := range map[string]string{
		"$A": "1", "${A}x": "1x", "${B:-two}": "two", "$B.": ".", `\$A`: "$A", "$": "$", "${A": "${A",
	} {
		if got := expand(in, known); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestResolve(t *testing.T) {
	have := []config.Class{{Name: "Old", Key: "w-Older"}}
	tests := []struct {
		name       string
		migrations []Migration
		want       []config.Class
		err        string
	}{
		{"none", nil, have, ""},
		{"keys survive renames", []Migration{{NewSQLiteClasses: []string{"A"}}, {RenamedClasses: []Rename{{"A", "B"}}}, {RenamedClasses: []Rename{{"B", "C"}}}},
			[]config.Class{have[0], {Name: "C", SQLite: true, Key: "w-A"}}, ""},
		{"a name freed by a rename", []Migration{{RenamedClasses: []Rename{{"Old", "A"}}}, {NewClasses: []string{"Older"}}},
			[]config.Class{{Name: "A", Key: "w-Older"}, {Name: "Older", Key: "w-Older-2"}}, ""},
		{"taken over", []Migration{{TransferredClasses: []Transfer{{"Room", "hotel", "A"}}}, {RenamedClasses: []Rename{{"A", "B"}}}},
			[]config.Class{have[0], {Name: "B", SQLite: true, Key: "hotel-Room"}}, ""},
		{"taken over onto another", []Migration{{TransferredClasses: []Transfer{{"Room", "hotel", "Old"}}}}, nil, `migration 1: transferred_classes: class "Old" exists already`},
		{"taken over twice", []Migration{{TransferredClasses: []Transfer{{"Room", "hotel", "A"}, {"Room", "hotel", "B"}}}}, nil, `migration 1: transferred_classes: class "B" exists already`},
		{"deleted", []Migration{{DeletedClasses: []string{"Old"}}}, []config.Class{}, ""},
		{"new twice", []Migration{{Tag: "v2", NewClasses: []string{"Old"}}}, nil, `migration "v2": class "Old" exists already`},
		{"rename of nothing", []Migration{{RenamedClasses: []Rename{{"X", "Y"}}}}, nil, `migration 1: renamed_classes: there is no class "X"`},
		{"rename onto another", []Migration{{NewClasses: []string{"A"}}, {RenamedClasses: []Rename{{"A", "Old"}}}}, nil, `migration 2: renamed_classes: class "Old" exists already`},
	}
	for _, tt := range tests {
		got, err := Resolve("w", have, tt.migrations)
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%s: got error %v, want %s", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
	if have[0].Name != "Old" {
		t.Error("Resolve changed the classes it was given")
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	if _, err := Find(dir); err == nil || !strings.Contains(err.Error(), "has no wrangler.json") {
		t.Errorf("an empty directory: %v", err)
	}
	for _, name := range []string{"wrangler.toml", "wrangler.jsonc", "wrangler.json"} { // the later ones win
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Find(dir); got != file || err != nil {
			t.Errorf("got %s, %v; want %s", got, err, file)
		}
	}
}

package bundle

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/config"
)

// withoutNode are the flags of a Worker that has nothing of Node.js.
var withoutNode = []string{"no_nodejs_compat", "no_nodejs_compat_v2"}

// project unpacks a txtar archive and returns options for it.
func project(t testing.TB, archive string) Options {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files(archive) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	opts := Options{Dir: dir, KeepNames: true, CompatibilityDate: "2026-11-17", CompatibilityFlags: withoutNode}
	for _, entry := range []string{"src/index.ts", "src/index.tsx", "src/index.js", "index.js", "main.py"} {
		file := filepath.Join(dir, filepath.FromSlash(entry))
		if _, err := os.Stat(file); err == nil {
			opts.Entry = file
		}
	}
	return opts
}

// files reads a txtar archive: each "-- name --" line starts a file.
func files(archive string) map[string]string {
	all, name := map[string]string{}, ""
	for line := range strings.Lines(archive) {
		if n, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(n, " --\n") {
			name = strings.TrimSuffix(n, " --\n")
			all[name] = ""
		} else if name != "" {
			all[name] += line
		}
	}
	return all
}

func names(ms config.Modules) string {
	var all []string
	for _, m := range ms {
		all = append(all, m.Name)
	}
	return strings.Join(all, " ")
}

// built is a project and what has to become of it.
type built struct {
	name    string
	archive string
	set     func(*Options)
	modules string   // names, main first
	exports string   // names
	has     []string // in the main module
	hasNot  []string
	warns   string
}

func TestBuild(t *testing.T) {
	testBuilt(t, []built{{
		name: "TypeScript",
		archive: `
-- src/index.ts --
import { hello } from "./hello";
export class Room {}
export default { fetch: (r: Request): Response => new Response(hello satisfies string) };
-- src/hello.ts --
export const hello: string = "hi";
`,
		modules: "index.js", exports: "Room default", has: []string{`"hi"`}, hasNot: []string{"satisfies"},
	}, {
		name: "JSX with the tsconfig's runtime",
		archive: `
-- src/index.tsx --
export default { fetch: () => new Response(<b>hi</b>) };
-- tsconfig.json --
{"compilerOptions": {"jsx": "react-jsx", "jsxImportSource": "tiny"}}
-- node_modules/tiny/package.json --
{"name": "tiny", "exports": {"./jsx-runtime": "./runtime.js"}}
-- node_modules/tiny/runtime.js --
export const jsx = (tag) => "tiny:" + tag;
`,
		modules: "index.js", exports: "default", has: []string{`"tiny:"`, `jsx("b"`},
	}, {
		name: "conditions, in the order of the package",
		archive: `
-- src/index.ts --
import { where } from "pkg";
export default { where };
-- node_modules/pkg/package.json --
{"exports": {"node": "./node.js", "workerd": "./workerd.js", "default": "./other.js"}}
-- node_modules/pkg/node.js --
export const where = "in node";
-- node_modules/pkg/workerd.js --
export const where = "in workerd";
-- node_modules/pkg/other.js --
export const where = "in other";
`,
		modules: "index.js", exports: "default", has: []string{"in workerd"}, hasNot: []string{"in node", "in other"},
	}, {
		name: "the runtime's modules stay outside",
		archive: `
-- src/index.ts --
import { DurableObject } from "cloudflare:workers";
import { readFileSync } from "fs";
import { join } from "node:path";
const util = require("util");
export class Room extends DurableObject { a = [readFileSync, join, util] }
export default {};
`,
		set:     func(o *Options) { o.CompatibilityFlags = nil },
		modules: "index.js", exports: "Room default",
		has:    []string{`from "cloudflare:workers"`, `from "node:fs"`, `from "node:path"`, `from "node:util"`},
		hasNot: []string{`from "fs"`, "Dynamic require of \"util\""},
	}, {
		name: "node: without nodejs_compat is a warning",
		archive: `
-- src/index.ts --
import { join } from "node:path";
export default { join };
`,
		modules: "index.js", exports: "default", warns: `"nodejs_compat"`,
	}, {
		name: "module rules",
		archive: `
-- src/index.ts --
import a from "./a.txt";
import q from "./q.sql";
import w from "../lib/w.wasm?module";
import b from "data/b.bin";
import g from "./g.graphql";
export default { a, q, w, b, g };
-- src/a.txt --
text
-- src/q.sql --
SELECT 1
-- src/g.graphql --
type Query
-- lib/w.wasm --
wasm
-- node_modules/data/package.json --
{"name": "data"}
-- node_modules/data/b.bin --
bytes
`,
		set: func(o *Options) {
			o.Rules = []Rule{{Type: "Text", Globs: []string{"**/*.graphql"}, Fallthrough: true}}
		},
		modules: "index.js 5f321eed724477fd2651705085dfacdd8f33e37b-b.bin 820a6f69f3ca63cc180425919ff297fa923ac0d1-g.graphql " +
			"aa785adca3fcdfe1884ae840e13c6d294a2414e8-a.txt b381cee440378c2591cd8955a04e24b7b21642b2-q.sql " +
			"ba70f9c8cfcb9b5be29bb6d0fc14f3ad95e8470c-w.wasm",
		exports: "default",
	}, {
		name: "a file of a package that its exports do not list, and one beside the entry point",
		archive: `
-- src/index.ts --
import w from "pkg/wasm/add.wasm?module";
import t from "beside.txt";
import x from "other/x.sql";
export default { w, t, x };
-- src/beside.txt --
text
-- node_modules/pkg/package.json --
{"name": "pkg", "exports": {".": "./index.js"}}
-- node_modules/pkg/wasm/add.wasm --
wasm
-- src/node_modules/other/package.json --
{"name": "other", "exports": {}}
-- src/node_modules/other/x.sql --
SELECT 1
`,
		modules: "index.js aa785adca3fcdfe1884ae840e13c6d294a2414e8-beside.txt " +
			"b381cee440378c2591cd8955a04e24b7b21642b2-x.sql ba70f9c8cfcb9b5be29bb6d0fc14f3ad95e8470c-add.wasm",
		exports: "default", warns: "names a file beside the entry point",
	}, {
		name: "names are kept on demand",
		archive: `
-- src/index.ts --
import a from "./parts/a.txt";
export default { a };
-- src/parts/a.txt --
text
`,
		set:     func(o *Options) { o.PreserveFileNames = true },
		modules: "index.js parts/a.txt", exports: "default", has: []string{`from "./parts/a.txt"`},
	}, {
		name: "define and NODE_ENV",
		archive: `
-- src/index.ts --
export default { a: VERSION, b: process.env.NODE_ENV, c: navigator.userAgent };
`,
		set:     func(o *Options) { o.Define = map[string]string{"VERSION": `"1.2.3"`} },
		modules: "index.js", exports: "default", has: []string{`"1.2.3"`, `"development"`, `"Cloudflare-Workers"`},
	}, {
		name: "aliases of packages and files",
		archive: `
-- src/index.ts --
import { a } from "not-installed";
import { b } from "./gone";
import { c } from "old";
export default { a, b, c };
-- shims/a.ts --
export const a = "shim a";
-- shims/b.ts --
export const b = "shim b";
-- node_modules/new/index.js --
export const c = "new c";
`,
		set: func(o *Options) {
			o.Alias = map[string]string{"not-installed": "./shims/a.ts", "./gone": "./shims/b", "old": "new"}
		},
		modules: "index.js", exports: "default", has: []string{"shim a", "shim b", "new c"},
	}, {
		name: "aliases that name each other",
		archive: `
-- src/index.ts --
import { a } from "one";
import { b } from "two";
export default { a, b };
-- node_modules/one/index.js --
export const b = "one b";
-- node_modules/two/index.js --
export const a = "two a";
`,
		set:     func(o *Options) { o.Alias = map[string]string{"one": "two", "two": "one"} },
		modules: "index.js", exports: "default", has: []string{"one b", "two a"},
	}, {
		name: "tsconfig paths",
		archive: `
-- src/index.ts --
import { a } from "@lib/a";
export default { a };
-- lib/a.ts --
export const a = "by path";
-- tsconfig.json --
{"compilerOptions": {"paths": {"@lib/*": ["./lib/*"]}}}
`,
		modules: "index.js", exports: "default", has: []string{"by path"},
	}, {
		name: "conditions",
		archive: `
-- src/index.js --
import a from "a";
export default { a };
-- node_modules/a/package.json --
{"exports": {"workerd": "./workerd.js", "special": "./special.js"}}
-- node_modules/a/workerd.js --
export default "for workerd";
-- node_modules/a/special.js --
export default "special";
`,
		set:     func(o *Options) { o.Conditions = []string{"special"} },
		modules: "index.js", exports: "default", has: []string{`"special"`},
	}, {
		name: "no_bundle",
		archive: `
-- index.js --
import "./lib/util.mjs";
export default {};
-- lib/util.mjs --
export const u = 1;
-- lib/data.txt --
text
-- lib/old.cjs --
module.exports = 1;
-- node_modules/x/index.js --
-- .hidden/x.mjs --
-- .wrangler/tmp/x.mjs --
-- README.md --
`,
		set: func(o *Options) {
			o.NoBundle, o.FindAdditionalModules = true, true
			o.Rules = []Rule{{Type: "ESModule", Globs: []string{"**/*.js", "**/*.mjs"}}, {Type: "CommonJS", Globs: []string{"**/*.cjs"}}}
		},
		modules: "index.js .hidden/x.mjs lib/data.txt lib/old.cjs lib/util.mjs node_modules/x/index.js", exports: "default", has: []string{`import "./lib/util.mjs"`},
	}, {
		name: "find_additional_modules beside a bundle",
		archive: `
-- src/index.ts --
import en from "./lang/en.mjs";
export default { load: (path: string) => import(path), en };
-- src/lang/en.mjs --
export default "english";
-- src/lang/de.mjs --
export default "german";
`,
		set: func(o *Options) {
			o.FindAdditionalModules = true
			o.Rules = []Rule{{Type: "ESModule", Globs: []string{"**/*.mjs"}}}
		},
		modules: "index.js lang/de.mjs lang/en.mjs", exports: "default", has: []string{`from "./lang/en.mjs"`}, hasNot: []string{"english"},
	}})
}

func testBuilt(t *testing.T, tests []built) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := project(t, tt.archive)
			if tt.set != nil {
				tt.set(&opts)
			}
			r, err := Build(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			main := string(r.Modules[0].Data)
			if got := names(r.Modules); got != tt.modules {
				t.Errorf("modules %q, want %q", got, tt.modules)
			}
			if got := strings.Join(r.Exports, " "); got != tt.exports {
				t.Errorf("exports %q, want %q", got, tt.exports)
			}
			for _, s := range tt.has {
				if !strings.Contains(main, s) {
					t.Errorf("the main module lacks %q", s)
				}
			}
			for _, s := range tt.hasNot {
				if strings.Contains(main, s) {
					t.Errorf("the main module has %q", s)
				}
			}
			var warnings []string
			for _, w := range r.Warnings {
				warnings = append(warnings, w.String())
			}
			if got := strings.Join(warnings, "\n"); !strings.Contains(got, tt.warns) || tt.warns == "" && got != "" {
				t.Errorf("warnings %q, want %q", got, tt.warns)
			}
			if t.Failed() {
				t.Log(main)
			}
			if !slices.Contains(r.Inputs, opts.Entry) {
				t.Errorf("inputs %q lack the entry point", r.Inputs)
			}
		})
	}
}

package bundle

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// debug is a package that has one file for Node.js and one for browsers.
const debug = `
-- node_modules/debug/package.json --
{"name": "debug", "main": "./src/index.js", "browser": "./src/browser.js"}
-- node_modules/debug/src/index.js --
const tty = require("tty");
module.exports = () => "debug for Node.js" + tty.isatty(1);
-- node_modules/debug/src/browser.js --
module.exports = () => "debug for browsers";
`

// What wrangler 4.86 and 4.164 put into the same bundles was the pattern.
func TestNode(t *testing.T) {
	tests := []struct {
		name    string
		archive string
		date    string
		flags   string
		has     []string // in the main module
		hasNot  []string
		size    int    // that the main module does not reach
		warns   string // part of the only warning
	}{{
		name:    "a Worker that needs nothing, at a date when globals were filled in",
		archive: "-- index.js --\nexport default { fetch() { return new Response(\"hello\") } };\n",
		date:    "2025-10-08", flags: "nodejs_compat",
		has:  []string{"globalThis.process = ", "globalThis.performance = "},
		size: 20_000, // 19,242 under wrangler
	}, {
		name: "process by its bare name",
		archive: `
-- index.js --
import process from "process";
import { env } from "node:process";
export default { own: process === globalThis.process, env };
`,
		date: "2025-10-08", flags: "nodejs_compat",
		has: []string{"unenv-preset/dist/runtime/node/process.mjs"}, hasNot: []string{`from "process"`},
	}, {
		name: "process is the runtime's own when it is good enough",
		archive: `
-- index.js --
import process from "process";
export default { process };
`,
		date: "2026-03-01", flags: "nodejs_compat",
		has: []string{`from "node:process"`}, hasNot: []string{"globalThis.process = "},
	}, {
		name: "async_hooks has been native all along",
		archive: `
-- index.js --
import { AsyncLocalStorage } from "node:async_hooks";
const hooks = require("async_hooks");
export default { AsyncLocalStorage, hooks };
`,
		date: "2024-09-23", flags: "nodejs_compat",
		has: []string{`from "node:async_hooks"`}, hasNot: []string{"unenv/dist/runtime/node/async_hooks.mjs"},
	}, {
		name: "require of a module becomes an import, native or not",
		archive: `
-- index.js --
import lib from "./lib.cjs";
export default { lib };
-- lib.cjs --
const path = require("path"), tty = require("node:tty"), fs = require("fs");
module.exports = [path, tty, fs];
`,
		date: "2025-10-08", flags: "nodejs_compat",
		has:    []string{`from "node:path"`, `from "node:fs"`, "unenv/dist/runtime/node/tty.mjs"},
		hasNot: []string{`__require("`},
	}, {
		name: "fs before it was native",
		archive: `
-- index.js --
import { readFileSync } from "fs";
export default { readFileSync };
`,
		date: "2025-03-15", flags: "nodejs_compat",
		has: []string{"unenv/dist/runtime/node/internal/fs/"}, hasNot: []string{`from "node:fs"`},
	}, {
		name: "fs, native by a flag",
		archive: `
-- index.js --
import { readFileSync } from "fs";
export default { readFileSync };
`,
		date: "2025-03-15", flags: "nodejs_compat enable_nodejs_fs_module",
		has: []string{`from "node:fs"`}, hasNot: []string{"unenv/dist/runtime/node/internal/fs/"},
	}, {
		name: "tty, not native by a flag",
		archive: `
-- index.js --
import tty from "tty";
export default { tty };
`,
		date: "2026-11-17", flags: "disable_nodejs_tty_module",
		has: []string{"unenv/dist/runtime/node/tty.mjs"},
	}, {
		name: "debug is the one for Node.js",
		archive: debug + `
-- index.js --
import debug from "debug";
export default { debug };
`,
		date: "2026-11-17",
		has:  []string{"debug for Node.js", `from "node:tty"`}, hasNot: []string{"debug for browsers"},
	}, {
		name: "debug without Node.js is the one for browsers",
		archive: debug + `
-- index.js --
import debug from "debug";
export default { debug };
`,
		date: "2025-10-08",
		has:  []string{"debug for browsers"}, hasNot: []string{"debug for Node.js"},
	}, {
		name: "packages that are replaced, installed or not",
		archive: `
-- index.js --
import fetch from "node-fetch";
import "isomorphic-fetch";
const crossFetch = require("cross-fetch");
export default { fetch, crossFetch };
-- node_modules/node-fetch/index.js --
export default "the real node-fetch";
`,
		date: "2026-11-17",
		has:  []string{"unenv/dist/runtime/npm/node-fetch.mjs", "unenv/dist/runtime/npm/cross-fetch.mjs"}, hasNot: []string{"the real node-fetch"},
	}, {
		name: "an alias of the project comes first",
		archive: `
-- index.js --
import tty from "tty";
export default { tty };
-- tty.js --
export default "the project's tty";
`,
		date: "2025-10-08", flags: "nodejs_compat",
		has: []string{"the project's tty"}, hasNot: []string{"unenv/dist/runtime/node/tty.mjs"},
	}, {
		name: "nodejs_compat of before 2024-09-23",
		archive: `
-- index.js --
import { join } from "node:path";
import { isatty } from "node:tty";
export default { join, isatty };
`,
		date: "2024-09-22", flags: "nodejs_compat",
		has: []string{`from "node:path"`, `from "node:tty"`}, hasNot: []string{"globalThis.process"}, size: 500,
	}, {
		name: "nodejs_als",
		archive: `
-- index.js --
import { AsyncLocalStorage } from "node:async_hooks";
import { join } from "node:path";
export default { AsyncLocalStorage, join };
`,
		date: "2025-10-08", flags: "nodejs_als",
		has: []string{`from "node:async_hooks"`}, size: 500,
		warns: `"node:path" is built into Node.js and missing here`,
	}, {
		name: "a package's own replacement for browsers",
		archive: `
-- index.js --
import "pkg";
export default {};
-- node_modules/pkg/package.json --
{"name": "pkg", "browser": {"node:fs": "./fs.js"}}
-- node_modules/pkg/index.js --
console.log(require("node:fs"));
-- node_modules/pkg/fs.js --
module.exports = "fs of the package";
`,
		date: "2025-10-08",
		has:  []string{"fs of the package"},
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := project(t, tt.archive)
			opts.CompatibilityDate, opts.CompatibilityFlags, opts.Progress = tt.date, strings.Fields(tt.flags), os.Stderr
			if strings.Contains(tt.name, "alias") {
				opts.Alias = map[string]string{"tty": "./tty.js"}
			}
			r, err := Build(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			main := string(r.Modules[0].Data)
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
			if tt.size > 0 && len(main) >= tt.size {
				t.Errorf("the main module has %d bytes, want fewer than %d", len(main), tt.size)
			}
			switch {
			case tt.warns == "" && len(r.Warnings) > 0, len(r.Warnings) > 1:
				t.Errorf("warnings %q", r.Warnings)
			case tt.warns != "" && (len(r.Warnings) == 0 || !strings.Contains(r.Warnings[0].Text, tt.warns)):
				t.Errorf("warnings %q, want %q", r.Warnings, tt.warns)
			}
			if t.Failed() {
				t.Logf("%d bytes", len(main))
			}
		})
	}
}

func TestNodeErrors(t *testing.T) {
	tests := []struct {
		name, archive, date, flags string
		want                       string // part of the error
	}{
		{"bare name before 2024-09-23", "-- index.js --\nimport \"fs\";\nexport default {};\n", "2024-09-22", "nodejs_compat",
			`"fs" is built into Node.js: import "node:fs", or set compatibility_date to 2024-09-23 or later`},
		{"bare name without the flag", "-- index.js --\nimport \"fs\";\nexport default {};\n", "2025-10-08", "",
			`"fs" is built into Node.js: add the compatibility flag "nodejs_compat" to use node:fs`},
		{"a module that Workers lack", "-- index.js --\nimport \"node:sea\";\nexport default {};\n", "2025-10-08", "nodejs_compat",
			`"node:sea" is built into Node.js and missing in Workers`},
		{"the same, at a date when all others are native", "-- index.js --\nimport \"node:sea\";\nexport default {};\n", "2026-11-17", "",
			`"node:sea" is built into Node.js and missing in Workers`},
		{"an export that is not there", "-- index.js --\nimport { nosuch } from \"tty\";\nexport default { nosuch };\n", "2025-10-08", "nodejs_compat",
			`No matching export in`},
		{"a service worker", "-- index.js --\nimport \"node:tty\";\naddEventListener(\"fetch\", () => {});\n", "2026-11-17", "",
			"a service-worker script cannot import node:tty"},
		{"flags that exclude each other", "-- index.js --\nexport default {};\n", "2025-10-08", "nodejs_compat nodejs_compat_v2",
			"exclude each other"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := project(t, tt.archive)
			opts.CompatibilityDate, opts.CompatibilityFlags, opts.Progress = tt.date, strings.Fields(tt.flags), os.Stderr
			_, err := Build(t.Context(), opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestNoBundleWithNode(t *testing.T) {
	opts := project(t, "-- index.js --\nexport default {};\n")
	opts.NoBundle, opts.CompatibilityDate, opts.CompatibilityFlags = true, "2025-10-08", []string{"nodejs_compat_v2"}
	r, err := Build(t.Context(), opts)
	if err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0].Text, "with no_bundle") {
		t.Errorf("warnings %q, error %v", r.Warnings, err)
	}
}

// A Worker that needs no stand-in is built without a cache and without a
// registry, to a module as small as wrangler's; one that needs one tells what
// to do, once, and is built when there is a way.
func TestNodeOffline(t *testing.T) {
	var asked int
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.NotFound(w, r)
	}))
	defer registry.Close()
	t.Setenv("npm_config_registry", registry.URL)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())

	hello := "-- index.js --\nimport { join } from \"path\";\nexport default { fetch() { return new Response(join(\"a\", \"b\")) } };\n"
	packages := "-- index.js --\nimport a from \"a\";\nimport b from \"b\";\nexport default { a, b };\n" +
		"-- node_modules/a/index.js --\n-- node_modules/b/index.js --\n"
	for name, tt := range map[string]struct{ archive, date, flags, err string }{
		"no nodejs_compat":                  {hello[:strings.Index(hello, "import")] + "export default {};\n", "2025-10-08", "", ""},
		"packages without nodejs_compat":    {packages, "2025-10-08", "", ""},
		"everything native":                 {hello, "2026-11-17", "", ""},
		"globals filled in":                 {hello, "2025-10-08", "nodejs_compat", "404 Not Found"},
		"packages when all is native":       {packages, "2026-11-17", "", "404 Not Found"},
		"no stand-ins by modules of before": {hello[:strings.Index(hello, "import")] + "import \"node:path\";\nexport default {};\n", "2024-09-22", "nodejs_compat", ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked = 0
			opts := project(t, tt.archive)
			opts.CompatibilityDate, opts.CompatibilityFlags = tt.date, strings.Fields(tt.flags)
			r, err := Build(t.Context(), opts)
			if tt.err == "" {
				if err != nil || asked != 0 {
					t.Fatalf("the registry was asked %d times, error %v", asked, err)
				}
				if n := len(r.Modules[0].Data); tt.archive != packages && n > 400 {
					t.Errorf("the main module has %d bytes", n)
				}
				return
			}
			if err == nil || asked != 1 || strings.Count(err.Error(), "install wrangler in the project") != 1 {
				t.Fatalf("the registry was asked %d times, error %v", asked, err)
			}
			if e := (*Error)(nil); errors.As(err, &e) && len(e.Problems) != 1 {
				t.Errorf("%d problems: %v", len(e.Problems), err)
			}
		})
	}
}

package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProblems(t *testing.T) {
	tests := []struct {
		name, archive string
		set           func(*Options)
		want          string // exactly, or a part when it starts with "…"
	}{{
		name:    "a syntax error",
		archive: "-- src/index.ts --\nexport default {\n\tfetch( { return 1 }\n};\n",
		want: `src/index.ts:2:18: Expected "}" but found "1"
    	fetch( { return 1 }
    	                ^`,
	}, {
		name:    "an import of nothing",
		archive: "-- src/index.ts --\nimport \"./gone\";\n",
		want: `src/index.ts:1:8: Could not resolve "./gone"
    import "./gone";
           ^`,
	}, {
		name:    "a module of Node without nodejs_compat",
		archive: "-- src/index.ts --\nimport fs from \"fs\";\nexport default { fs };\n",
		want: `src/index.ts:1:16: Could not resolve "fs"
    import fs from "fs";
                   ^
  "fs" is built into Node.js: add the compatibility flag "nodejs_compat" to use node:fs`,
	}, {
		name:    "a rule that is shadowed",
		archive: "-- src/index.ts --\nimport a from \"./a.txt\";\nexport default { a };\n-- src/a.txt --\n",
		set:     func(o *Options) { o.Rules = []Rule{{Type: "Text", Globs: []string{"**/*.md"}}} },
		want:    "…./a.txt matches a module rule that is ignored",
	}, {
		name:    "an alias to nothing",
		archive: "-- src/index.ts --\nimport a from \"a\";\nexport default { a };\n",
		set:     func(o *Options) { o.Alias = map[string]string{"a": "./gone"} },
		want:    `…src/index.ts:1:15: alias "a": Could not resolve "./gone"`,
	}, {
		name:    "no_bundle of TypeScript",
		archive: "-- src/index.ts --\nexport default {}\n",
		set:     func(o *Options) { o.NoBundle = true },
		want:    "…no_bundle takes JavaScript only",
	}, {
		name:    "Python",
		archive: "-- main.py --\n",
		want:    "…Python Workers are not supported",
	}, {
		name:    "a service worker with a module of the runtime",
		archive: "-- src/index.js --\nimport { env } from \"cloudflare:workers\";\naddEventListener(\"fetch\", () => env);\n",
		want:    "…a service-worker script cannot import cloudflare:workers",
	}, {
		name:    "a service worker with additional modules",
		archive: "-- src/index.js --\naddEventListener(\"fetch\", () => {});\n",
		set:     func(o *Options) { o.FindAdditionalModules = true },
		want:    "…find_additional_modules is for ES modules",
	}, {
		name:    "an additional module of an ignored rule",
		archive: "-- src/index.js --\nexport default {}\n-- src/a/b.txt --\n",
		set: func(o *Options) {
			o.FindAdditionalModules, o.Rules = true, []Rule{{Type: "Text", Globs: []string{"**/*.md"}}}
		},
		want: "…a/b.txt matches a module rule that is ignored",
	}, {
		name:    "a file beside the importer, by its bare name",
		archive: "-- src/index.js --\nimport \"./deep/b.js\";\nexport default {}\n-- src/deep/b.js --\nimport \"a.txt\";\n-- src/deep/a.txt --\n",
		want:    "…Could not resolve \"a.txt\"",
	}, {
		name:    "a platform that is none",
		archive: "-- src/index.js --\nexport default {}\n",
		set:     func(o *Options) { o.Platform = "deno" },
		want:    "…there is no platform \"deno\"; use browser, node or neutral",
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := project(t, tt.archive)
			if tt.set != nil {
				tt.set(&opts)
			}
			_, err := Build(t.Context(), opts)
			if err == nil {
				t.Fatal("no error")
			}
			got := err.Error()
			if part, ok := strings.CutPrefix(tt.want, "…"); ok && strings.Contains(got, part) {
				return
			}
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// TestRebuild: a Bundler sees changes, survives a broken state, and gives the
// side modules of the current build only.
func TestRebuild(t *testing.T) {
	opts := project(t, `
-- src/index.ts --
import a from "./a.txt";
export default { a };
-- src/a.txt --
one
`)
	b, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(opts.Dir, "src", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	first, err := b.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write("a.txt", "two\n")
	second, err := b.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(second.Modules) != 2 || first.Modules[1].Name == second.Modules[1].Name || string(second.Modules[1].Data) != "two\n" {
		t.Errorf("modules %s, then %s", names(first.Modules), names(second.Modules))
	}
	write("index.ts", "export default {")
	if _, err = b.Build(t.Context()); !errors.As(err, new(*Error)) {
		t.Errorf("a broken file: %v", err)
	}
	write("index.ts", "export default { fetch() {} };")
	third, err := b.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if names(third.Modules) != "index.js" {
		t.Errorf("modules %s", names(third.Modules))
	}
}

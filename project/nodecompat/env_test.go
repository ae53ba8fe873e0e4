package nodecompat

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// unpack writes a txtar archive to a directory of the test's. A file whose name
// ends with @ is a link to what it contains.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if link, ok := strings.CutSuffix(file, "@"); ok {
			err = os.Symlink(strings.TrimSpace(string(f.Data)), link)
		} else {
			err = os.WriteFile(file, f.Data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// offline leaves the test without a cache and without a registry.
func offline(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	t.Setenv("npm_config_registry", srv.URL)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
}

// standIn are packages of the shape that wrangler's have, installed as pnpm
// does it.
const standIn = `
-- project/node_modules/wrangler@ --
.pnpm/wrangler/node_modules/wrangler
-- project/node_modules/.pnpm/wrangler/node_modules/wrangler/package.json --
{"name": "wrangler"}
-- project/node_modules/.pnpm/wrangler/node_modules/unenv/package.json --
{"name": "unenv", "exports": {".": "./index.mjs", "./*": "./run/*.mjs"}}
-- project/node_modules/.pnpm/wrangler/node_modules/unenv/index.mjs --
import { builtinModules } from "node:module";
import fs from "node:fs";
import { alias } from "not-installed/utils";
const builtins = new Set(builtinModules), onWindows = process.platform === "win32", here = import.meta.url;
export function defineEnv({ npmShims, presets }) {
  const env = { alias: {}, inject: {}, polyfill: [], external: [] };
  for (const p of presets) {
    Object.assign(env.alias, p.alias);
    Object.assign(env.inject, p.inject);
    env.polyfill.push(...p.polyfill ?? []);
    env.external.push(...p.external ?? []);
  }
  if (npmShims) env.alias.gone = "unenv/npm/gone";
  return { env };
}
-- project/node_modules/.pnpm/wrangler/node_modules/unenv/run/node/tty.mjs --
-- project/node_modules/.pnpm/wrangler/node_modules/@cloudflare/unenv-preset/package.json --
{"name": "@cloudflare/unenv-preset", "exports": {".": "./index.mjs", "./*": "./run/*.mjs"}}
-- project/node_modules/.pnpm/wrangler/node_modules/@cloudflare/unenv-preset/index.mjs --
export const getCloudflarePreset = ({ compatibilityDate, compatibilityFlags }) => ({
  alias: { fs: "fs", "node:fs": "node:fs", tty: "unenv/node/tty" },
  inject: {
    process: "@cloudflare/unenv-preset/node/process",
    Buffer: ["node:buffer", "Buffer"], File: ["node:buffer", "File"],
    [compatibilityDate.replaceAll("-", "_")]: compatibilityFlags[0],
  },
  polyfill: ["@cloudflare/unenv-preset/polyfill/performance"],
  external: ["fs", "node:fs"],
});
-- project/node_modules/.pnpm/wrangler/node_modules/@cloudflare/unenv-preset/run/polyfill/performance.mjs --
`

func TestLoadInstalled(t *testing.T) {
	offline(t)
	dir := unpack(t, standIn+`
-- project/packages/api/wrangler.toml --
-- project/node_modules/.pnpm/wrangler/node_modules/debug/package.json --
{"name": "debug", "main": "./node.js", "browser": "./browser.js", "module": "./module.js"}
-- project/node_modules/.pnpm/wrangler/node_modules/debug/node.js --
`)
	env, err := Load(t.Context(), filepath.Join(dir, "project", "packages", "api"), "2025-01-02", []string{"flag"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	modules, _ := filepath.EvalSymlinks(filepath.Join(dir, "project", "node_modules", ".pnpm", "wrangler", "node_modules"))
	if want := filepath.Join(modules, "wrangler"); env.Dir != want {
		t.Errorf("from %s, want %s", env.Dir, want)
	}
	for from, want := range map[string]Target{
		"fs":      {Specifier: "fs", Native: true},
		"node:fs": {Specifier: "node:fs", Native: true},
		"tty":     {Specifier: "unenv/node/tty", File: filepath.Join(modules, "unenv", "run", "node", "tty.mjs")},
		"debug":   {Specifier: "debug", File: filepath.Join(modules, "debug", "node.js")}, // not what browsers get
		"gone":    {},                                                                     // names a file that is not there
	} {
		if got := env.Alias[from]; got != want {
			t.Errorf("%s is %+v, want %+v", from, got, want)
		}
	}
	want := []Inject{
		{"@cloudflare/unenv-preset/node/process", []Global{{"process", "default"}}},
		{"node:buffer", []Global{{"Buffer", "Buffer"}, {"File", "File"}}},
		{"flag", []Global{{"2025_01_02", "default"}}},
	}
	if !slices.EqualFunc(env.Inject, want, func(a, b Inject) bool { return a.Module == b.Module && slices.Equal(a.Globals, b.Globals) }) {
		t.Errorf("inject %+v, want %+v", env.Inject, want)
	}
	if want := filepath.Join(modules, "@cloudflare", "unenv-preset", "run", "polyfill", "performance.mjs"); !slices.Equal(env.Polyfill, []string{want}) {
		t.Errorf("polyfill %q, want %q", env.Polyfill, want)
	}
}

func TestLoadEndsWithTheContext(t *testing.T) {
	dir := unpack(t, standIn+`
-- project/node_modules/.pnpm/wrangler/node_modules/@cloudflare/unenv-preset/index.mjs --
export const getCloudflarePreset = () => { for (;;); };
`)
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if _, err := Load(ctx, filepath.Join(dir, "project"), "2025-01-02", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// Who has no wrangler, or one from before getCloudflarePreset, gets the pinned
// packages; where they cannot be fetched, the error says what to do.
func TestLoadPinnedOffline(t *testing.T) {
	offline(t)
	old := unpack(t, standIn+`
-- project/node_modules/.pnpm/wrangler/node_modules/@cloudflare/unenv-preset/index.mjs --
export const cloudflare = {};
`)
	for name, dir := range map[string]string{"no wrangler": t.TempDir(), "an old wrangler": filepath.Join(old, "project")} {
		_, err := Load(t.Context(), dir, "2025-01-02", nil, nil)
		const want = "check the network, or install wrangler in the project (npm install --save-dev wrangler)"
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line with %q", name, err, want)
		}
	}
}

// From nativeDate on, and not a day earlier, the pinned packages stand in for
// none of Node's modules and globals. They know the modules that we know.
func TestNativeDate(t *testing.T) {
	at := func(date string, flags ...string) (env *Env, replaced []string) {
		env, err := Load(t.Context(), t.TempDir(), date, flags, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		for from, to := range env.Alias {
			if _, ok := Builtin(from); ok && !to.Native {
				replaced = append(replaced, from)
			}
		}
		return env, replaced
	}
	env, replaced := at(nativeDate, "nodejs_compat")
	if len(replaced)+len(env.Inject)+len(env.Polyfill) > 0 || !Native(nativeDate, nil) {
		t.Errorf("on %s: modules %q, inject %v, polyfill %q", nativeDate, replaced, env.Inject, env.Polyfill)
	}
	for _, m := range modules {
		for _, from := range []string{m, "node:" + m} {
			if _, ok := env.Alias[from]; !ok {
				t.Errorf("the packages do not know %s", from)
			}
		}
	}
	for from := range env.Alias {
		if name, ok := Builtin(from); ok && !Known(name) {
			t.Errorf("%s is new to us", from)
		}
	}
	first, _ := time.Parse(time.DateOnly, nativeDate)
	before := first.AddDate(0, 0, -1).Format(time.DateOnly)
	if _, replaced := at(before, "nodejs_compat"); len(replaced) == 0 || Native(before, nil) {
		t.Errorf("on %s: nothing is replaced", before)
	}
	const disable = "disable_nodejs_tty_module"
	if _, replaced := at(nativeDate, disable); !slices.Contains(replaced, "tty") || Native(nativeDate, []string{disable}) {
		t.Errorf("with %s: only %q are replaced", disable, replaced)
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		if _, err := Load(b.Context(), dir, "2025-10-08", []string{"nodejs_compat"}, os.Stderr); err != nil {
			b.Fatal(err)
		}
	}
}

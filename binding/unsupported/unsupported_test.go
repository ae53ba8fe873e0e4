package unsupported_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/unsupported"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/celltest"
)

// A Worker may look at the binding in every way a logger would; using it tells
// what is missing.
const worker = `export default {
  async fetch(request, env) {
    const out = [];
    const attempt = async (f) => {
      try {
        out.push(String(await f()));
      } catch (e) {
        out.push(e.name + ": " + e.message);
      }
    };
    await attempt(() => typeof env.JOBS);
    await attempt(async () => (await env.JOBS) === env.JOBS);
    await attempt(() => JSON.stringify({ env }));
    await attempt(() => console.log(env, env.JOBS));
    await attempt(() => String(env.JOBS));
    await attempt(() => "create" in env.JOBS);
    await attempt(() => env.JOBS.create("x"));
    await attempt(() => { const { create } = env.JOBS; });
    await attempt(() => { env.JOBS.x = 1; });
    return new Response(out.join("\n"));
  },
};`

func TestThrowsOnlyWhenUsed(t *testing.T) {
	cell := celltest.Run(t, worker, map[string]func(string) binding.Mount{
		"JOBS": func(service string) binding.Mount { return mount(t, "vectorize", "JOBS") },
	})
	const thrown = "Error: env.JOBS is a Vectorize binding (vectorize), which this version of Selvage does not run yet."
	want := []string{"object", "true", `{"env":{"JOBS":{}}}`, "undefined", "[object Object]", "false", thrown, thrown, thrown}
	if got := strings.Split(cell.Get("/"), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// spared are the types that a Worker may be deployed with: they name nothing
// that a deployment would have to find or make.
var spared = []string{"ai", "analytics", "browser", "images", "media", "stream", "unsafe_hello_world", "worker_loader"}

func TestEveryTypeWarns(t *testing.T) {
	for _, typ := range unsupported.Types() {
		m := mount(t, typ, "X")
		if !strings.Contains(m.Warning, "env.X is a") || !strings.Contains(m.Warning, "("+typ+")") {
			t.Errorf("%s: warning %q", typ, m.Warning)
		}
		b := config.Binding{Name: "X", Type: typ}
		if slices.Contains(spared, typ) {
			if _, ok := find(t, typ).(binding.Deployer); ok {
				t.Errorf("%s: not every Worker may be deployed with it", typ)
			}
			continue
		}
		if err := find(t, typ).(binding.Deployer).Deployable("w", b); err == nil || !strings.Contains(err.Error(), "binding X: ") || !strings.Contains(err.Error(), "("+typ+")") {
			t.Errorf("%s: %v", typ, err)
		}
	}
	if slices.Contains(unsupported.Types(), "kv_namespace") {
		t.Error("kv_namespace is refused")
	}
}

func mount(t *testing.T, typ, name string) binding.Mount {
	t.Helper()
	b, err := config.NewBinding(name, typ, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := find(t, typ).Mount(b, binding.Site{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func find(t *testing.T, typ string) binding.Kind {
	t.Helper()
	k := binding.ByType(unsupported.Kinds())[typ]
	if k == nil {
		t.Fatalf("no kind %s", typ)
	}
	return k
}

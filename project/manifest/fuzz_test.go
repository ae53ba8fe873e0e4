package manifest

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// fuzz feeds text to a parser: whatever it is, there is a manifest whose
// bindings are JSON, or Problems, and never a panic.
func fuzz(f *testing.F, name string) {
	seeds, _ := filepath.Glob("testdata/*/" + "wrangler" + filepath.Ext(name) + "*")
	for _, seed := range seeds {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data), "staging")
	}
	file := filepath.Join(f.TempDir(), name)
	f.Fuzz(func(t *testing.T, text, env string) {
		m, warnings, err := parse(name, file, []byte(text), Options{Env: env})
		for _, w := range warnings {
			_ = w.Error()
		}
		if err != nil {
			if ps := (Problems)(nil); !errors.As(err, &ps) || len(ps) == 0 {
				t.Fatalf("%T is not Problems: %v", err, err)
			}
			return
		}
		names := map[string]bool{}
		for _, b := range m.Bindings {
			if names[b.Name] || b.Name == "" || b.Type == "" || !json.Valid(b.Raw) {
				t.Fatalf("binding %+v", b)
			}
			names[b.Name] = true
		}
	})
}

func FuzzTOML(f *testing.F) {
	f.Add("name='w'\nassets.directory='.'\n[[d1_databases]]\nbinding='D'\n[d1_databases.x]\n[env.e.vars]\nA=[1,{b=2}]", "e")
	f.Add("a.b.c=1\n[a.b]\nd=+inf\n[[a.e]]\n[[a.e.f]]\ng=1979-05-27", "")
	fuzz(f, "wrangler.toml")
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"assets":{"directory":"."},"vars":{"A":1e999,"B":"\ud800"},"env":{"e":{"vars":null}}}`, "e")
	f.Add(`{"assets":{"directory":"."},"dev":{"Port":"x","port":99999999999999999999},"queues":{"consumers":[{"queue":"q","max_concurrency":null}]}}`, "")
	f.Add(`{"assets":{"directory":"."},"dev":{"Port":"x","port":1e3},"build":{"command":"c","watch_dir":[]},"limits":{"cpu_ms":5}}`, "")
	fuzz(f, "wrangler.json")
}

func FuzzEnvFile(f *testing.F) {
	f.Add("A=1\nexport B=\"x\ny\" # z\nC='$A'")
	f.Fuzz(func(t *testing.T, text string) {
		for _, v := range parseEnv(text) {
			if v.name == "" {
				t.Fatal("a variable without a name")
			}
			expand(v.value, map[string]string{"A": "1"})
		}
	})
}

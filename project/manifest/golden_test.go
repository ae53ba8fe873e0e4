package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden loads the projects below testdata. "golden" is what the top level
// comes to, "golden.<env>" what an environment does, warnings first.
func TestGolden(t *testing.T) {
	t.Setenv("CLOUDFLARE_INCLUDE_PROCESS_ENV", "")
	t.Setenv("CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV", "")
	goldens, _ := filepath.Glob("testdata/*/golden*")
	if len(goldens) == 0 {
		t.Fatal("no golden files")
	}
	for _, golden := range goldens {
		dir := filepath.Dir(golden)
		env := strings.TrimPrefix(strings.TrimPrefix(filepath.Base(golden), "golden"), ".")
		t.Run(filepath.Base(dir)+"/"+env, func(t *testing.T) {
			m, warnings, err := Load(dir, Options{Env: env})
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for _, w := range warnings {
				got.WriteString(w.Error() + "\n")
			}
			e := json.NewEncoder(&got)
			e.SetEscapeHTML(false)
			e.SetIndent("", "  ")
			if err := e.Encode(m); err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(got.String(), m.Dir, "/project")
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("%s differs; run go test ./manifest -update and review the change. Got:\n%s", golden, text)
			}
		})
	}
}

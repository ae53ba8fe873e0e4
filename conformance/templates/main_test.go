package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

func TestTable(t *testing.T) {
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(`
-- broken/wrangler.toml --
name = "broken"
main = "gone.js"
-- fine/wrangler.toml --
name = "fine"
main = "index.js"
compatibility_date = "2026-01-01"
-- fine/index.js --
export default { fetch() { return new Response("", { status: 404 }) } }
-- none/README.md --
-- throws/wrangler.toml --
name = "throws"
main = "index.js"
compatibility_date = "2026-01-01"
-- throws/index.js --
export default { fetch() { throw new Error("boom") } }
`)).Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	if err := run(t.Context(), dir, "", false, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("printed %s", &out)
	}
	for i, want := range []string{"project", "gone.js", "ok", "500 Internal Server Error"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want)
		}
	}
}

func TestVerdict(t *testing.T) {
	err := errors.New("wrangler deploy:\n\x1b[31m✘ \x1b[41;31m[\x1b[41;97mERROR\x1b[41;31m]\x1b[0m \x1b[1mno such class\x1b[0m")
	if got := verdict(err); got != "wrangler deploy: ✘ [ERROR] no such class" {
		t.Errorf("got %q", got)
	}
}

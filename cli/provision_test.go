package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/servertest"
)

// What a project names is made in the data directory of a stopped server, and over
// the REST API with the rights that making one by one takes. wrangler's side is in
// conformance/wrangler/testdata/provision.txtar.
func TestProvision(t *testing.T) {
	selvage, err := servertest.Program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"CLOUDFLARE_API_BASE_URL", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_ENV"} {
		t.Setenv(name, "")
	}
	data := filepath.Join(dir, "data")
	expect := func(code int, want string, args ...string) {
		t.Helper()
		got, stdout, stderr := call(t, append([]string{"provision"}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("selvage provision %v: exit code %d, %s%s; want %d, %q", args, got, stdout, stderr, code, want)
		}
	}
	token := func(name string, args ...string) string {
		t.Helper()
		code, stdout, stderr := call(t, append([]string{"token", "create", "--name", name, "--data", data}, args...)...)
		if code != 0 {
			t.Fatal(stderr)
		}
		return strings.TrimSpace(stdout)
	}
	expect(2, "there is no project here; name one")
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a/wrangler.jsonc", `{"name": "a", "main": "w.js", "compatibility_date": "2026-01-01", "assets": {"directory": "dist"}, "d1_databases": [{"binding": "DB", "database_name": "shop", "database_id": "1111"}],
		"kv_namespaces": [{"binding": "MY_CACHE", "id": "2222"}, {"binding": "LATER"}]}`)
	write("b/wrangler.toml", "name = 'b'\nmain = 'w.js'\ncompatibility_date = '2026-01-01'\n[[d1_databases]]\nbinding = 'DB'\ndatabase_name = 'shop'\ndatabase_id = '1111'\n"+
		"[[kv_namespaces]]\nbinding = 'OTHER'\nid = '3333'\n")
	write("plain/wrangler.toml", "name = 'plain'\nmain = 'w.js'\ncompatibility_date = '2026-01-01'\n")

	expect(2, "say which server", "a")
	expect(1, "open data directory", "a", "--data", data)
	full, some := token("full"), token("some", "--scope", "d1:edit", "--scope", "workers_kv:read")
	expect(0, "Made D1 database shop (1111)\n", "a/wrangler.jsonc", "--data", data)
	expect(0, "There already: KV namespace a-my-cache (2222)\nThere already: D1 database shop (1111)\n", "a", "--data", data)
	expect(0, "names nothing that has to be made", "plain", "--data", data)

	server := servertest.StartOn(t, selvage, data)
	t.Setenv("CLOUDFLARE_API_BASE_URL", server.API)
	t.Setenv("CLOUDFLARE_API_TOKEN", some)
	expect(1, `make KV namespace b-other (3333): Authentication error: the API token "some" does not have the scope workers_kv:edit`, "b")
	t.Setenv("CLOUDFLARE_API_TOKEN", "wrong")
	expect(1, "Authentication error", "b")
	t.Setenv("CLOUDFLARE_API_TOKEN", full)
	expect(0, "Made KV namespace b-other (3333)\nThere already: D1 database shop (1111)\nThere already: KV namespace a-my-cache (2222)\n", "b", "a")
	t.Setenv("CLOUDFLARE_API_BASE_URL", "127.0.0.1:1")
	expect(2, "must be a URL such as", "b")
}

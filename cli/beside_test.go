package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/selvage-edge/selvage/internal/poll"
)

// screen is an output that can be read while it is written.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

const twoProjects = `
-- a/wrangler.jsonc --
{"name": "a", "main": "../w.js", "compatibility_date": "2026-01-01",
 "kv_namespaces": [{"binding": "CACHE", "id": "0123"}],
 "d1_databases": [
  {"binding": "DB", "database_name": "people", "database_id": "4567", "migrations_dir": "sql"},
  {"binding": "SAME", "database_id": "1111"}]}
-- a/sql/0001_first.sql --
CREATE TABLE people (name TEXT);
-- b/wrangler.jsonc --
{"name": "b", "main": "../w.js", "compatibility_date": "2026-01-01",
 "d1_databases": [{"binding": "SAME", "database_id": "2222"}]}
-- w.js --
export default { fetch() { return new Response("") } }
`

// Beside a running dev, commands know what its projects name, wherever they
// are given.
func TestCommandsBesideDev(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	for _, f := range txtar.Parse([]byte(twoProjects)).Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(elsewhere)
	data := filepath.Join(elsewhere, "data")
	ctx, cancel := context.WithCancel(t.Context())
	var out screen
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, []string{"dev", filepath.Join(dir, "a"), filepath.Join(dir, "b"), "--port", "0", "--data", data},
			IO{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}, Additions{})
	}()
	defer func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("dev ended with %d: %s", code, &out)
		}
	}()
	if !poll.Within(poll.Patience, func() bool { return strings.Contains(out.String(), "Ready on") }) {
		t.Fatalf("dev is not ready: %s", &out)
	}
	for _, c := range []struct {
		args []string
		code int
		want string // of standard output, or of the error
	}{
		{[]string{"d1", "migrations", "list", "people"}, 0, "0001_first.sql\n"},
		{[]string{"d1", "migrations", "apply", "DB"}, 0, "Applied 0001_first.sql\n"},
		{[]string{"d1", "migrations", "create", "people", "second one"}, 0, filepath.Join(dir, "a", "sql", "0002_second_one.sql")},
		{[]string{"d1", "execute", "people", "--command", "INSERT INTO people VALUES ('Ada')"}, 0, ""},
		{[]string{"d1", "execute", "4567", "--command", "SELECT name FROM people"}, 0, "name\nAda\n"},
		{[]string{"crons", "--data", data}, 0, "WORKER  CRON  MINUTE (UTC)  OUTCOME  TOOK  ERROR\n"},
		{[]string{"crons", "--json", "--data", data}, 0, "[]\n"},
		{[]string{"analytics", "SHOW TABLES FORMAT TabSeparated", "--data", data}, 0, ""},
		{[]string{"analytics", "SELECT 1 FROM nothing", "--data", data}, 1, "422 Unprocessable Entity: Input was invalid: unable to find table: nothing"},
		{[]string{"d1", "execute", "SAME", "--command", "SELECT 1"}, 1, `a and b both have a "SAME", which are not the same; give its id, 1111 or 2222`},
		{[]string{"d1", "execute", "nobody", "--command", "SELECT 1"}, 1, `there is no database "nobody"`},
		{[]string{"kv", "key", "put", "--binding", "CACHE", "k", "v"}, 0, ""},
		{[]string{"kv", "key", "get", "--namespace-id", "0123", "k"}, 0, "v"},
		{[]string{"kv", "key", "get", "--binding", "NOBODY", "k"}, 1, "no project here"},
	} {
		code, stdout, stderr := call(t, append(c.args, "--data", data)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("selvage %v: exit code %d, %q %q; want %d, %q", c.args, code, stdout, stderr, c.code, c.want)
		}
	}
}

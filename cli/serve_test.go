package cli

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// call runs a command line and returns what it printed.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	code = Run(ctx, args, IO{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err}, Additions{})
	return code, out.String(), err.String()
}

// Exit codes: 0 done, 1 failed, 2 wrong usage; mistakes name what to do.
func TestServerCommands(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	data := filepath.Join(dir, "data")
	broken := filepath.Join(dir, "broken.toml")
	if err := os.WriteFile(broken, []byte("[limits]\nbodi = 'x'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"serve --s3 9000", 1, `--s3: "9000" is not an address`},
		{"serve --nonsense", 2, "unknown flag --nonsense"},
		{"serve --config " + broken, 1, broken + `:2: limits.bodi: there is no such key; did you mean "body"?`},
		{"serve --admin 0.0.0.0:0", 1, "--admin: 0.0.0.0:0 is reachable from other machines"},
		{"serve --admin 127.0.0.1:0 --listen " + taken.Addr().String(), 1, "end the program that uses the port or choose another"},
		{"config check", 2, "there is no selvage.toml here"},
		{"config check " + broken, 1, "limits.bodi"},
		{"token create --data " + data, 2, "missing flags: --name"},
		{"token create --name x --scope kv:edit --data " + data, 1, `there is no resource "kv"`},
		{"token create --name x --expires yesterday --data " + data, 2, "expected a duration"},
		{"token revoke nobody --data " + data, 1, `no API token with the id or name "nobody"`},
		{"token revoke --data " + data, 2, "name the token"},
		{"backup --data " + filepath.Join(dir, "none") + " x", 1, "there is no data directory"},
		{"restore --data " + data + " " + broken, 1, "is not empty"},
		{"restore --data " + filepath.Join(dir, "new") + " " + broken, 1, "damaged or incomplete backup"},
	} {
		code, _, stderr := call(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.stderr) {
			t.Errorf("selvage %s: exit code %d, %q; want %d, %q", c.args, code, stderr, c.code, c.stderr)
		}
	}
}

// A token goes its way from creation to the end, without a server.
func TestTokenCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	must := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := call(t, append(args, "--data", "data")...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, stderr)
		}
		return stdout
	}
	if account := must("account"); len(account) != 33 || account != must("account") {
		t.Errorf("account %q", account)
	}
	token := must("token", "create", "--name", "ci", "--scope", "d1:read", "--scope", "workers_kv:edit", "--expires", "30d")
	if len(token) != 45 || !strings.HasPrefix(token, "slv_") {
		t.Errorf("token %q", token)
	}
	list := must("token", "list")
	if !strings.Contains(list, "ci") || !strings.Contains(list, "d1:read,workers_kv:edit") || strings.Contains(list, strings.TrimSpace(token)) {
		t.Errorf("list:\n%s", list)
	}
	must("token", "revoke", "ci")
	if list := must("token", "list", "--json"); list != "[]\n" {
		t.Errorf("list: %s", list)
	}
	must("backup", "copy.selvage", "--with-key")
	if code, _, stderr := call(t, "restore", "copy.selvage", "--data", "other"); code != 0 {
		t.Error(stderr)
	}
	if code, account, _ := call(t, "account", "--data", "other"); code != 0 || account != must("account") {
		t.Errorf("account of the restored data: %q", account)
	}
}

// The configuration in deploy/ is valid as it is, and with every line in force.
func TestDeployedConfiguration(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "deploy", "selvage.toml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	check := func(text string) {
		t.Helper()
		if err := os.WriteFile("selvage.toml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := call(t, "config", "check"); code != 0 && !strings.Contains(stderr, "no such file") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	}
	check(string(text))
	var all strings.Builder
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "# "); ok && (strings.Contains(line, " = ") || strings.HasPrefix(rest, "[")) && !strings.HasPrefix(line, "# The") {
			line = rest
		}
		all.WriteString(line)
	}
	check(all.String())
}

func TestLifetime(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{"": 0, "90m": 90 * time.Minute, "30d": 720 * time.Hour, "0.5d": 12 * time.Hour, "2026-01-03": 48 * time.Hour} {
		if got, err := lifetime(text, now); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "-1h", "2025-12-31", "d"} {
		if got, err := lifetime(text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

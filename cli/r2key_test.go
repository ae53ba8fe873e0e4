package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// Access keys are made, listed and deleted, by id or name.
func TestR2Key(t *testing.T) {
	dir := t.TempDir()
	selvage := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		args = append(append([]string{"r2", "key"}, args...), "--data", dir)
		if code := Run(context.Background(), args, IO{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}, Additions{}); code != want {
			t.Fatalf("selvage %v: exit code %d, want %d\n%s%s", args, code, want, &out, &errs)
		}
		return out.String(), errs.String()
	}
	out, _ := selvage(0, "create", "--name", "backup", "--bucket", "files", "--bucket", "archive", "--read-only", "--expires", "30d")
	m := regexp.MustCompile(`^Access key ID:     ([0-9a-f]{32})\nSecret access key: ([0-9a-f]{64})\n$`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("create printed %q", out)
	}
	out, _ = selvage(0, "create", "--name", "ops", "--admin", "--json")
	var made struct {
		ID     string `json:"access_key_id"`
		Secret string `json:"secret_access_key"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || len(made.ID) != 32 || len(made.Secret) != 64 {
		t.Errorf("create --json printed %q, %v", out, err)
	}
	selvage(0, "create", "--name", "app")
	selvage(0, "create", "--name", "auditor", "--admin", "--read-only")

	out, _ = selvage(0, "list", "--json")
	var list []keyInfo
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 4 {
		t.Fatalf("list --json printed %q, %v", out, err)
	}
	for i, want := range []string{"backup [archive files] read", "ops [] admin, read and write", "app [] read and write", "auditor [] admin, read"} {
		if got := list[i].Name + " [" + strings.Join(list[i].Buckets, " ") + "] " + list[i].Allows; got != want {
			t.Errorf("listed %q, want %q", got, want)
		}
	}
	if list[0].ID != m[1] || list[0].Expires.Before(list[0].Created) || !list[1].Expires.IsZero() || strings.Contains(out, m[2]) {
		t.Errorf("listed %s", out)
	}
	if out, _ = selvage(0, "list"); !regexp.MustCompile(`(?m)^` + m[1] + ` +backup +archive,files +read +\S+Z +\S+Z +never$`).MatchString(out) {
		t.Errorf("listed %s", out)
	}

	selvage(0, "delete", m[1])
	selvage(0, "delete", "ops")
	if _, errs := selvage(1, "delete", "ops"); !strings.Contains(errs, `no access key "ops"`) {
		t.Errorf("deleted twice: %s", errs)
	}
	if _, errs := selvage(2, "create", "--name", "a", "--admin", "--bucket", "files"); !strings.Contains(errs, "leave --bucket away") {
		t.Errorf("admin of one bucket: %s", errs)
	}
	selvage(2, "create", "--name", "a", "--expires", "2020-01-01")
	if out, _ = selvage(0, "list", "--json"); strings.Contains(out, m[1]) || !strings.Contains(out, `"app"`) {
		t.Errorf("listed after deletion %s", out)
	}
}

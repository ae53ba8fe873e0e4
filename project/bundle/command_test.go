package bundle

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRunCommand(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	if err := RunCommand(t.Context(), "echo $WRANGLER_COMMAND; pwd; echo oops >&2", dir, "dev", &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasPrefix(got, "dev\n") || !strings.Contains(got, dir) || !strings.HasSuffix(got, "oops\n") {
		t.Errorf("output %q", got)
	}
	err := RunCommand(t.Context(), "exit 3", dir, "dev", &out)
	if err == nil || !strings.Contains(err.Error(), `build command "exit 3"`) || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := RunCommand(ctx, "sleep 60", dir, "dev", &out); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("a command that is stopped: %v", err)
	}
}

// What npm has installed for the project is found, and before the same program
// of a folder above or of the system.
func TestRunCommandFindsInstalledPrograms(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "packages", "site")
	for path, text := range map[string]string{
		filepath.Join(dir, "node_modules", ".bin", "tool"):  "echo project",
		filepath.Join(root, "node_modules", ".bin", "tool"): "echo workspace",
		filepath.Join(root, "node_modules", ".bin", "pwd"):  "echo workspace pwd",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := RunCommand(t.Context(), "tool; env pwd", dir, "dev", &out); err != nil || out.String() != "project\nworkspace pwd\n" {
		t.Errorf("%q, %v", &out, err)
	}
}

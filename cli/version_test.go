package cli

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	info := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0d7df7fe3485b9fe278639deb58f3485b9fe2786"}
	for _, c := range []struct {
		name, release string
		info          *debug.BuildInfo
		want          string
	}{
		{"a release", "v1.2.3", info("v0.0.0-2026", commit), "v1.2.3"},
		{"go install @version", "", info("v1.2.3"), "v1.2.3"},
		{"a checkout", "", info("v0.0.0-2026", commit), "v0.0.0-2026 (commit 0d7df7fe3485)"},
		{"a changed checkout", "", info("", commit, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "(devel) (commit 0d7df7fe3485, changed)"},
		{"no version control", "", info("(devel)"), "(devel)"},
		{"a binary without build information", "", nil, "(unknown)"},
	} {
		if got := version(c.release, c.info); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestVersionCommand(t *testing.T) {
	code, stdout, _ := call(t, "version")
	if code != 0 || !strings.HasPrefix(stdout, "selvage ") || !strings.Contains(stdout, "\nworkerd 1.") || !strings.Contains(stdout, "\ngo1.") {
		t.Errorf("exit code %d, %q", code, stdout)
	}
}

package nodecompat

import (
	"strings"
	"testing"
)

func TestModeOf(t *testing.T) {
	tests := []struct {
		date, flags string
		want        Mode
		err         string // part of the error
	}{
		{"2024-09-22", "", Off, ""},
		{"2024-09-22", "nodejs_compat", V1, ""},
		{"2024-09-23", "nodejs_compat", V2, ""},
		{"2024-09-23", "nodejs_compat no_nodejs_compat_v2", V1, ""},
		{"2023-01-01", "nodejs_compat_v2", V2, ""},
		{"2023-01-01", "nodejs_als", ALS, ""},
		{"2023-01-01", "nodejs_als nodejs_compat", V1, ""},
		{"", "nodejs_compat", V1, ""},
		{"2026-08-03", "", Off, ""},
		{"2026-08-04", "", V2, ""},
		{"2026-08-04", "nodejs_compat", V2, ""},
		{"2026-08-04", "no_nodejs_compat", V2, ""},
		{"2026-08-04", "no_nodejs_compat_v2", V1, ""},
		{"2026-08-04", "no_nodejs_compat no_nodejs_compat_v2", Off, ""},
		{"2026-08-04", "no_nodejs_compat no_nodejs_compat_v2 nodejs_als", ALS, ""},
		{"2025-01-01", "nodejs_compat nodejs_compat_v2", Off, "exclude each other"},
		{"2025-01-01", "experimental:nodejs_compat_v2", Off, "no longer valid"},
	}
	for _, tt := range tests {
		t.Run(tt.date+" "+tt.flags, func(t *testing.T) {
			got, err := ModeOf(tt.date, strings.Fields(tt.flags))
			if got != tt.want {
				t.Errorf("mode %v, want %v", got, tt.want)
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestBuiltin(t *testing.T) {
	for specifier, want := range map[string]string{
		"fs": "node:fs", "node:fs": "node:fs", "fs/promises": "node:fs/promises", "node:sqlite": "node:sqlite",
		"node:later": "node:later", "sqlite": "", "lodash": "", "./fs": "",
	} {
		if got, ok := Builtin(specifier); got != want || ok != (want != "") {
			t.Errorf("Builtin(%q) = %q, %v, want %q", specifier, got, ok, want)
		}
	}
	for name, want := range map[string]bool{"node:fs": true, "node:sqlite": true, "node:later": false} {
		if got := Known(name); got != want {
			t.Errorf("Known(%q) = %v", name, got)
		}
	}
}

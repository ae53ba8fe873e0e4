package config

import "testing"

func TestReservedModule(t *testing.T) {
	for name, want := range map[string]bool{
		"selvage:invocation": true, "./selvage:invocation": true, "SELVAGE:invocation": true, "a/../selvage:x": true,
		"cloudflare-internal:env": true, "node-internal:async_hooks": true, "workerd:unsafe": true,
		"selvage.js": false, "src/selvage:x": false, "index.js": false, "node:fs": false, "cloudflare:workers": false, "selvage-main.js": false,
	} {
		if got := ReservedModule(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

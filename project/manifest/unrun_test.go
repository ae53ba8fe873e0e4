package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a configuration asks for and does not get under `selvage dev` is told
// once, under its own name, with its line. control/feature_test.go has the same
// for uploads.
func TestUnrunFeatures(t *testing.T) {
	const lost, throws = "is not supported yet and has no effect", "is not supported yet; a binding it declares throws when it is used"
	for _, c := range []struct{ config, want string }{
		{`"containers": [{"class_name": "C", "image": "./Dockerfile"}]`, "containers: " + lost},
		{`"containers": []`, ""},
		{`"tail_consumers": [{"service": "logs"}]`, "tail_consumers: " + lost},
		{`"streaming_tail_consumers": [{"service": "logs"}]`, "streaming_tail_consumers: " + lost},
		{`"logpush": true`, "logpush: " + lost},
		{`"logpush": false`, ""},
		{`"exports": {"C": {"type": "durable-object"}}`, "exports: " + lost},
		{`"cache": {"enabled": true}`, "cache: " + lost},
		{`"placement": {"mode": "smart"}`, ""},
		{`"observability": {"enabled": true}`, ""},
		{`"workflows": [{"binding": "W", "name": "w", "class_name": "W"}]`, ""},
		{`"workflows": [{"binding": "W", "name": "w", "class_name": "W", "schedules": "* * * * *"}]`, ""},
		{`"ai": {"binding": "AI"}`, "ai: " + throws},
		{`"images": {"binding": "IMAGES"}`, "images: " + throws},
		{`"browser": {"binding": "BROWSER"}`, "browser: " + throws},
		{`"vectorize": [{"binding": "V", "index_name": "i"}]`, "vectorize: " + throws},
		{`"hyperdrive": [{"binding": "H", "id": "i"}]`, "hyperdrive: " + throws},
		{`"pipelines": [{"binding": "P", "stream": "s"}]`, "pipelines: " + throws},
		{`"triggers": {"events": [{"type": "x"}]}`, "triggers.events: " + lost},
		{`"unsafe": {"metadata": {"x": 1}}`, "unsafe.metadata: " + lost},
		{`"unsafe": {"capnp": {"base_path": "x"}}`, "unsafe.capnp: " + lost},
		{`"services": [{"binding": "S", "service": "api", "environment": "staging"}]`, `services[0].environment: service environments are not supported; the calls go to the Worker "api" itself`},
		{`"services": [{"binding": "S", "service": "api", "environment": "production"}]`, ""},
	} {
		dir := t.TempDir()
		text := `{"name": "x", "main": "index.js", "compatibility_date": "2025-10-08",` + "\n" + c.config + "}"
		for name, content := range map[string]string{"wrangler.json": text, "index.js": ""} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, warnings, err := Load(dir, Options{})
		if err != nil {
			t.Errorf("%s: %v", c.config, err)
			continue
		}
		var got []string
		for _, w := range warnings {
			got = append(got, strings.TrimPrefix(fmt.Sprint(w), "wrangler.json:2:"))
		}
		switch {
		case c.want == "" && len(got) > 0, len(got) > 1, c.want != "" && (len(got) != 1 || !strings.HasSuffix(got[0], ": "+c.want)):
			t.Errorf("%s: got %q, want %q", c.config, got, c.want)
		}
	}
}

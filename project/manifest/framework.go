package manifest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// frameworks are the packages whose projects have a Worker only once they are
// built. Those that bring Vite along come before it.
var frameworks = []struct{ dependency, name string }{
	{"astro", "Astro"},
	{"@react-router/dev", "React Router"},
	{"@remix-run/dev", "Remix"},
	{"@tanstack/react-start", "TanStack Start"},
	{"@tanstack/solid-start", "TanStack Start"},
	{"@sveltejs/kit", "SvelteKit"},
	{"@solidjs/start", "SolidStart"},
	{"@builder.io/qwik-city", "Qwik"},
	{"@opennextjs/cloudflare", "OpenNext"},
	{"next", "Next.js"},
	{"nuxt", "Nuxt"},
	{"nitropack", "Nitro"},
	{"rwsdk", "RedwoodSDK"},
	{"waku", "Waku"},
	{"@angular/core", "Angular"},
	{"vite", "Vite"},
}

// NeedsBuild returns a sentence that says how to build the project in dir; ""
// if its package.json names no tool that has to.
func NeedsBuild(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, "package.json"))
	var pkg struct {
		Scripts                       map[string]string
		Dependencies, DevDependencies map[string]json.RawMessage
	}
	if err != nil || json.Unmarshal(data, &pkg) != nil {
		return "" // then no tool of its kind works here, either
	}
	for _, f := range frameworks {
		if pkg.Dependencies[f.dependency] == nil && pkg.DevDependencies[f.dependency] == nil {
			continue
		}
		command := "its build command"
		if pkg.Scripts["build"] != "" {
			command = `"npm run build"`
		}
		return fmt.Sprintf("this project is built by %s: run %s first, and what it built is what runs", f.name, command)
	}
	return ""
}

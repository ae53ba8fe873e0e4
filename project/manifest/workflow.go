package manifest

import (
	"fmt"

	"github.com/selvage-edge/selvage/config"
)

// loadWorkflows makes triggers of the workflows that are of the Worker's own
// classes.
func (l *loader) loadWorkflows() {
	n, path := l.get("workflows")
	if n == nil {
		return
	}
	seen := map[string]bool{}
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		name, script := item.get("name").str(), item.get("script_name").str()
		if script != "" && script != l.m.Name {
			continue
		}
		if seen[name] {
			l.errorf(item, at, "the workflow %q is there already; each needs a name of its own", name)
			continue
		}
		seen[name] = true
		settings := map[string]any{"class_name": item.get("class_name")}
		for _, key := range []string{"limits", "concurrency", "default_retention"} {
			if v := item.get(key); v != nil {
				settings[key] = v
			}
		}
		made, err := config.NewBinding(name, "workflow", settings)
		if err != nil {
			l.errorf(item, at, "%v", err)
			continue
		}
		l.m.Triggers = append(l.m.Triggers, made)
	}
}

package manifest

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// secretFile is what was found in the project's folder.
type secretFile struct {
	file   string // for messages: the last file read
	values map[string]string
}

// loadSecrets reads the secrets for development. The first of .dev.vars.<env>
// and .dev.vars that exists is the only file read. Without either, .env,
// .env.local, .env.<env> and .env.<env>.local add up, later ones winning. If
// the manifest lists required secrets, only those and the names of vars are
// taken.
//
// CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV=false keeps .env files out, and
// CLOUDFLARE_INCLUDE_PROCESS_ENV=true puts the process's own environment above
// them, which also happens when secrets are listed.
//
// Source: https://developers.cloudflare.com/workers/development-testing/environment-variables/
func (b *binder) loadSecrets() secretFile {
	found := b.readSecrets()
	n, path := b.get("secrets")
	if n == nil {
		return found
	}
	var required []string
	n.get("required").decode(&required)
	vars, _ := b.get("vars")
	maps.DeleteFunc(found.values, func(name, _ string) bool {
		return vars.get(name) == nil && !slices.Contains(required, name)
	})
	var missing []string
	for _, name := range required {
		if _, ok := found.values[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		b.warnf(n, path+".required", "missing %s; add them to .dev.vars or .env", strings.Join(missing, ", "))
	}
	return found
}

func (b *binder) readSecrets() secretFile {
	env := b.opts.Env
	names := []string{".dev.vars"}
	if env != "" {
		names = []string{".dev.vars." + env, ".dev.vars"}
	}
	found := secretFile{values: map[string]string{}}
	for _, name := range names {
		vars, exists := b.readEnvFile(name, &found)
		for _, v := range vars {
			found.values[v.name] = v.value
		}
		if exists {
			return found
		}
	}
	if os.Getenv("CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV") == "false" {
		return found
	}
	names = []string{".env", ".env.local"}
	if env != "" {
		names = append(names, ".env."+env, ".env."+env+".local")
	}
	process := map[string]string{}
	if listed, _ := b.get("secrets"); listed != nil || os.Getenv("CLOUDFLARE_INCLUDE_PROCESS_ENV") == "true" {
		for _, pair := range os.Environ() {
			if name, value, ok := strings.Cut(pair, "="); ok && name != "" {
				process[name] = value
			}
		}
	}
	maps.Copy(found.values, process)
	for _, name := range names {
		vars, _ := b.readEnvFile(name, &found)
		for _, v := range vars {
			if process[v.name] == "" {
				found.values[v.name] = expand(v.value, found.values)
			}
		}
	}
	return found
}

// readEnvFile returns the variables of a file in the project's folder, and whether
// there is such a file.
func (b *binder) readEnvFile(name string, found *secretFile) (vars []variable, exists bool) {
	// An environment's name with a separator in it must not lead elsewhere.
	if filepath.Base(name) != name {
		return nil, false
	}
	file := filepath.Join(b.m.Root, name)
	b.m.Inputs = append(b.m.Inputs, file)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	shown := filepath.Join(filepath.Dir(b.report.file), name)
	if d := b.opts.redirect; d != nil {
		shown = filepath.Join(d.root, name)
	}
	if err != nil {
		b.problems = append(b.problems, Problem{File: shown, Message: "cannot be read: " + err.Error()})
		return nil, true
	}
	found.file = shown
	return parseEnv(string(data)), true
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

package manifest

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/joho/godotenv"
)

// secretFile is what was found beside the manifest.
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
// CLOUDFLARE_INCLUDE_PROCESS_ENV=true adds the process's own environment to
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
		if b.readEnvFile(name, &found) {
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
	secrets, _ := b.get("secrets")
	if secrets != nil || os.Getenv("CLOUDFLARE_INCLUDE_PROCESS_ENV") == "true" {
		for _, pair := range os.Environ() {
			if name, value, ok := strings.Cut(pair, "="); ok && name != "" {
				found.values[name] = value
			}
		}
	}
	for _, name := range names {
		b.readEnvFile(name, &found)
	}
	return found
}

// readEnvFile adds the values of a file and returns whether it exists.
func (b *binder) readEnvFile(name string, found *secretFile) bool {
	// An environment's name with a separator in it must not lead elsewhere.
	if filepath.Base(name) != name {
		return false
	}
	file := filepath.Join(b.m.Dir, name)
	b.m.Inputs = append(b.m.Inputs, file)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	shown := filepath.Join(filepath.Dir(b.report.file), name)
	values, err2 := godotenv.UnmarshalBytes(data)
	if err = errors.Join(err, err2); err != nil {
		// The parser quotes the line it stumbles over, which may be a secret.
		message := "cannot be read"
		if err2 != nil {
			message = "has a line that is not NAME=value"
		}
		b.problems = append(b.problems, Problem{File: shown, Message: message})
		return true
	}
	found.file = shown
	maps.Copy(found.values, values)
	return true
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

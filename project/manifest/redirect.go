package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tailscale/hujson"
)

// redirectFile is what build tools (the Vite plugin, Astro, React Router, Nuxt)
// leave in a project's folder: it names the configuration that goes with what
// they built.
//
// Source: https://developers.cloudflare.com/workers/wrangler/configuration/#generated-wrangler-configuration
const redirectFile = ".wrangler/deploy/config.json"

// redirect is a configuration that stands in for the user's.
type redirect struct {
	file string // the redirectFile
	user string // the user's configuration; empty without one
	root string // the project's folder
}

// readRedirect returns the configuration that the redirect in dir names; ""
// without a redirect, and where dir is no directory.
func readRedirect(dir string) (target string, r *redirect, err error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", nil, nil
	}
	file := filepath.Join(dir, filepath.FromSlash(redirectFile))
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	if err == nil && info.Size() > maxBytes {
		err = fmt.Errorf("it has %d bytes; at most %d are read", info.Size(), maxBytes)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return "", nil, fmt.Errorf("read the deploy configuration file at %s: %w", file, err)
	}
	path, err := redirectTarget(data)
	if err != nil {
		return "", nil, fmt.Errorf("failed to parse the deploy configuration file at %s: %w; build the project again", file, err)
	}
	if path == "" {
		return "", nil, fmt.Errorf(`a deploy configuration file was found at %s, but it is not valid: the required "configPath" property was not found; build the project again`, file)
	}
	if target = filepath.FromSlash(path); !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(file), target)
	}
	if _, err := os.Stat(target); err != nil {
		return "", nil, fmt.Errorf("there is a deploy configuration at %s, but the redirected configuration path it points to, %s, does not exist; build the project again", file, target)
	}
	r = &redirect{file: file, root: dir}
	if r.user, err = Find(dir); err != nil {
		r.user = "" // a project may have nothing but what its build tool wrote
	}
	return target, r, nil
}

// redirectTarget reads the property configPath of a redirectFile.
func redirectTarget(data []byte) (string, error) {
	v, err := hujson.Parse([]byte(strings.TrimPrefix(string(data), "\ufeff")))
	if err != nil {
		return "", err
	}
	object, ok := v.Value.(*hujson.Object)
	if !ok {
		return "", nil
	}
	path := ""
	for _, m := range object.Members {
		if l, ok := m.Value.Value.(hujson.Literal); ok && m.Name.Value.(hujson.Literal).String() == "configPath" && l.Kind() == '"' {
			path = l.String()
		}
	}
	return path, nil
}

// Enclosing returns the folder of the project that dir is in: dir, or the
// nearest folder above it that has a configuration, as wrangler looks for it.
func Enclosing(dir string) (string, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	user, redirected := "", ""
	for at := absolute; user == "" || redirected == ""; at = filepath.Dir(at) {
		if _, err := Find(at); err == nil && user == "" {
			user = at
		}
		if _, err := os.Stat(filepath.Join(at, filepath.FromSlash(redirectFile))); err == nil && redirected == "" {
			redirected = at
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	found := user
	switch {
	case user == "" && redirected == "":
		_, err := Find(dir)
		return "", err
	case user == "":
		found = redirected
	case redirected != "" && redirected != user:
		return "", fmt.Errorf("found both a user configuration in %s and a deploy configuration file at %s, which do not share the same base path, so it is not clear which should be used; remove the one that is out of date",
			user, filepath.Join(redirected, filepath.FromSlash(redirectFile)))
	}
	if found == absolute {
		return dir, nil // as it was given, for messages
	}
	return found, nil
}

// redirected makes m the manifest of a project whose configuration was
// generated. A new redirect, or a change of the user's configuration, means
// reading it again.
func (m *Manifest) redirected(d *redirect) (err error) {
	if m.Root, err = filepath.Abs(d.root); err != nil {
		return err
	}
	m.Redirected = true
	for _, file := range []string{d.file, d.user} {
		if file == "" {
			continue
		}
		if file, err = filepath.Abs(file); err != nil {
			return err
		}
		m.Inputs = append(m.Inputs, file)
	}
	return nil
}

// checkRedirected refuses what a generated configuration cannot mean. The
// environment was chosen when it was generated.
func (l *loader) checkRedirected() {
	if envs := l.root.get("env"); envs != nil && len(envs.fields) > 0 {
		var names []string
		for _, f := range envs.fields {
			names = append(names, f.key)
		}
		l.errorf(envs, "env", "redirected configurations cannot include environments, but there is %s; report this to the author of the tool that generated the file", strings.Join(names, ", "))
	}
	target := l.root.get("targetEnvironment")
	if env := l.opts.Env; env != "" && target.str() != "" && target.str() != env && l.root.get("pages_build_output_dir") == nil {
		l.errorf(target, "targetEnvironment", "the environment %q does not match the target environment %q that was used when building the application; build it again for %q", env, target.str(), env)
	}
}

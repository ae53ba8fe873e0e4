package cli

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/selvage-edge/selvage/project/manifest"
)

// projectFlag names the project whose configuration a command reads.
type projectFlag struct {
	Config string `short:"c" help:"The project: a folder or its configuration file. Default: the current folder." placeholder:"PATH" type:"path"`
	Env    string `short:"e" help:"Environment of the configuration." placeholder:"NAME" env:"CLOUDFLARE_ENV"`
}

// errNoProject says that there is no configuration to read, which is fine for
// commands that can do without.
var errNoProject = errors.New("no project here; name one with --config")

// project reads the configuration.
func (p *projectFlag) project() (*project, error) {
	path := p.Config
	if path == "" {
		enclosing, err := manifest.Enclosing(".")
		if err != nil {
			return nil, errNoProject
		}
		path = enclosing
	}
	// The user's own configuration, not one that a build tool generated: it
	// says where the migrations are. So does wrangler.
	file, err := manifest.Find(path)
	if err != nil {
		file = path // a project may have nothing but the generated one
	}
	m, _, err := manifest.Load(file, manifest.Options{Env: p.Env})
	if err != nil {
		return nil, err
	}
	return &project{m}, nil
}

// dataDir is where the data of the project is: --data, or .selvage beside the
// configuration.
func (p *projectFlag) dataDir(flag *dataFlag) (string, error) {
	if flag.Data != "" {
		return flag.Data, nil
	}
	m, err := p.project()
	if errors.Is(err, errNoProject) {
		return "", usagef("name the data directory with --data, or the project with --config")
	}
	if err != nil {
		return "", err
	}
	dir := filepath.Join(m.Root, ".selvage")
	if _, err := os.Stat(dir); err != nil && p.Config == "" {
		return "", usagef("%s does not exist; run `selvage dev` first or name the data directory with --data", dir)
	}
	return dir, nil
}

// project is what the commands need of a configuration.
type project struct{ *manifest.Manifest }

// binding returns a setting of a binding, "" if there is none of that type and
// name.
func (p *project) binding(typ, name, key string) string {
	for _, b := range p.Bindings {
		settings := map[string]any{}
		if b.Type == typ && b.Name == name && b.Decode(&settings) == nil {
			s, _ := settings[key].(string)
			return s
		}
	}
	return ""
}

// database finds a D1 database by its name, binding or id.
func (p *project) database(name string) (manifest.Database, bool) {
	for _, db := range p.Databases {
		if db.Name == name || db.Binding == name || db.ID == name {
			return db, true
		}
	}
	return manifest.Database{}, false
}

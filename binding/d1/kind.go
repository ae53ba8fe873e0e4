package d1

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

var (
	_ binding.Opener      = (*kind)(nil)
	_ binding.Maker       = (*kind)(nil)
	_ binding.Provisioner = (*kind)(nil)
	_ binding.Filer       = (*kind)(nil)
	_ binding.Measurer    = (*kind)(nil)
	_ binding.Router      = (*kind)(nil)
	_ binding.LocalRouter = (*kind)(nil)
)

// folder is where the databases are, in the data directory.
const folder = "d1"

// Open implements binding.Opener.
func (k *kind) Open(home binding.Home) (err error) {
	k.store, err = OpenStore(filepath.Join(home.Dir, folder), Options{Now: home.Now, Memory: home.Memory, MaxSize: home.Quota("d1_database"), MaxAccount: home.Quota("d1")})
	return err
}

// Close implements io.Closer.
func (k *kind) Close() error { return k.store.Close() }

// Files implements binding.Filer. The log of a database is moved into it as a
// step of its history.
func (*kind) Files() binding.Files {
	return binding.Files{First: []string{folder + "/" + registryFile}, Folder: folder, OwnCheckpoints: true}
}

// Quotas implements binding.Bounded. The files have less than is counted by what
// is still in their logs.
func (*kind) Quotas() []binding.Quota {
	return []binding.Quota{
		{Key: "d1", Name: "D1 databases", Folders: []string{folder}, Suffix: ".sqlite"},
		{Key: "d1_database", Name: "largest D1 database", Folders: []string{folder}, Suffix: ".sqlite", Of: binding.EachFile},
	}
}

// Make implements binding.Maker.
func (k *kind) Make(ctx context.Context, b config.Binding) error {
	if err := k.Validate(b); err != nil {
		return err
	}
	var s settings
	if err := b.Decode(&s); err != nil {
		return err
	}
	if _, err := k.store.Ensure(ctx, s.ID); err != nil {
		return fmt.Errorf("binding %s (d1): %w", b.Name, err)
	}
	return nil
}

// Provision implements binding.Provisioner.
func (k *kind) Provision(_ string, b config.Binding) ([]binding.Provision, error) {
	var s struct {
		settings
		Name string `json:"database_name"`
	}
	if err := b.Decode(&s); err != nil || s.ID == "" {
		return nil, err
	}
	name := cmp.Or(s.Name, b.Name)
	return []binding.Provision{{
		Name: fmt.Sprintf("D1 database %s (%s)", name, s.ID),
		Find: "/d1/database/" + url.PathEscape(s.ID), Create: "/d1/database",
		Body: map[string]string{"name": name, "uuid": s.ID},
	}}, nil
}

// Measure implements binding.Measurer.
func (k *kind) Measure(m *telemetry.Metrics) { m.Depth("d1 connections", k.store.Waiting) }

// Routes implements binding.Router.
func (k *kind) Routes() []api.Route { return k.store.Routes() }

// MigrationsRequest is the body of POST /local/d1/{id}/migrations. The folder
// is on this machine: both ends of the socket are.
type MigrationsRequest struct {
	Dir   string `json:"dir"`
	Table string `json:"table"`
	// Apply runs the migrations; otherwise they are only listed.
	Apply bool `json:"apply"`
}

// MigrationsResult names the migrations that were applied, or that are to be.
// Error is why the next one could not be.
type MigrationsResult struct {
	Names []string `json:"names"`
	Error string   `json:"error,omitempty"`
}

// LocalRoutes implements binding.LocalRouter: a database that a project's
// configuration names exists before any Worker has used it, and migrations are
// files.
func (k *kind) LocalRoutes() []api.Route {
	return []api.Route{
		{Method: http.MethodPut, Path: "/local/d1/{id}", Edit: true, Handle: func(w http.ResponseWriter, r *http.Request) error {
			if _, err := k.store.Ensure(r.Context(), r.PathValue("id")); err != nil {
				return err
			}
			return api.Write(w, nil)
		}},
		{Method: http.MethodPost, Path: "/local/d1/{id}/migrations", Edit: true, Handle: k.migrate},
	}
}

func (k *kind) migrate(w http.ResponseWriter, r *http.Request) error {
	var request MigrationsRequest
	if err := api.Decode(r, &request); err != nil {
		return err
	}
	db, err := k.store.Database(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	m := Migrations{Dir: request.Dir, Table: request.Table}
	run := m.Unapplied
	if request.Apply {
		run = m.Apply
	}
	names, err := run(r.Context(), db)
	result := MigrationsResult{Names: names}
	if err != nil {
		result.Error = err.Error() // beside what was applied before it
	}
	return api.Write(w, result)
}

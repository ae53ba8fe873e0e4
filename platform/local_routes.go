package platform

import (
	"net/http"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/d1"
)

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

// localRoutes are what the command line needs beyond Cloudflare's API: the
// resources that a project's configuration names exist before any Worker has
// used them, and migrations are files.
func (s *Stores) localRoutes() []api.Route {
	return []api.Route{
		{Method: http.MethodPut, Path: "/local/kv/{id}", Edit: true, Handle: func(w http.ResponseWriter, r *http.Request) error {
			if _, err := s.KV.Ensure(r.PathValue("id")); err != nil {
				return err
			}
			return api.Write(w, nil)
		}},
		{Method: http.MethodPut, Path: "/local/d1/{id}", Edit: true, Handle: func(w http.ResponseWriter, r *http.Request) error {
			if _, err := s.D1.Ensure(r.Context(), r.PathValue("id")); err != nil {
				return err
			}
			return api.Write(w, nil)
		}},
		{Method: http.MethodPost, Path: "/local/d1/{id}/migrations", Edit: true, Handle: s.migrate},
	}
}

func (s *Stores) migrate(w http.ResponseWriter, r *http.Request) error {
	var request MigrationsRequest
	if err := api.Decode(r, &request); err != nil {
		return err
	}
	db, err := s.D1.Database(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	m := d1.Migrations{Dir: request.Dir, Table: request.Table}
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

package platform

import (
	"errors"
	"net/http"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/control/state"
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
		{Method: http.MethodGet, Path: "/local/backup", Handle: s.backup},
		{Method: http.MethodPost, Path: "/local/tokens", Edit: true, Handle: s.createToken},
		{Method: http.MethodGet, Path: "/local/tokens", Handle: s.listTokens},
		{Method: http.MethodDelete, Path: "/local/tokens/{token}", Edit: true, Handle: s.revokeToken},
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

// TokenRequest is the body of POST /local/tokens.
type TokenRequest struct {
	Name string `json:"name"`
	// Scopes as auth.CheckScope has them; none means all.
	Scopes []string `json:"scopes"`
	// Life is in seconds; zero means without end.
	Life float64 `json:"life"`
}

func (s *Stores) createToken(w http.ResponseWriter, r *http.Request) error {
	var request TokenRequest
	if err := api.Decode(r, &request); err != nil {
		return err
	}
	token, err := s.Auth.Create(r.Context(), request.Name, request.Scopes, time.Duration(request.Life*float64(time.Second)))
	if err != nil {
		return api.Errorf(http.StatusBadRequest, 10001, "%v", err)
	}
	return api.Write(w, map[string]string{"value": token})
}

// TokenInfo is an API token without its secret.
type TokenInfo struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Scopes  []string  `json:"scopes"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
}

func (s *Stores) listTokens(w http.ResponseWriter, r *http.Request) error {
	tokens, err := s.Auth.List(r.Context())
	if err != nil {
		return err
	}
	list := make([]TokenInfo, len(tokens))
	for i, t := range tokens {
		list[i] = TokenInfo{ID: t.ID, Name: t.Name, Scopes: t.Scopes, Created: t.Created, Expires: t.Expires}
	}
	return api.Write(w, list)
}

func (s *Stores) revokeToken(w http.ResponseWriter, r *http.Request) error {
	if err := s.Auth.Revoke(r.Context(), r.PathValue("token")); err != nil {
		if errors.Is(err, state.ErrNotFound) {
			return api.Errorf(http.StatusNotFound, 10001, "there is no API token with the id or name %q; see: selvage token list", r.PathValue("token"))
		}
		return api.Errorf(http.StatusBadRequest, 10001, "%v", err)
	}
	return api.Write(w, nil)
}

// backup streams a backup; ?key=true includes the key of the secrets. When it
// fails the response breaks off.
func (s *Stores) backup(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/zstd")
	err := s.Backup(r.Context(), w, r.URL.Query().Get("key") == "true")
	if err != nil {
		s.log.Error("backup", "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

package platform

import (
	"errors"
	"net/http"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/project/manifest"
)

func (s *Stores) listResources(w http.ResponseWriter, r *http.Request) error {
	list := []manifest.Resource{}
	if s.Resources != nil {
		list = append(list, s.Resources()...)
	}
	return api.Write(w, list)
}

// largestCode tells of the Worker with the most code.
func (s *Stores) largestCode(w http.ResponseWriter, r *http.Request) error {
	var largest state.CodeSize
	err := s.State.View(r.Context(), func(tx *state.Tx) (err error) {
		largest, err = tx.LargestCode()
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, largest)
}

// cronRuns tells what became of the triggers of ?worker=, or of all Workers.
func (s *Stores) cronRuns(w http.ResponseWriter, r *http.Request) error {
	runs, err := s.Crons.Runs(r.URL.Query().Get("worker"))
	if err != nil {
		return err
	}
	return api.Write(w, runs)
}

// localRoutes are what the command line needs beyond Cloudflare's API.
func (s *Stores) localRoutes() []api.Route {
	routes := []api.Route{
		{Method: http.MethodGet, Path: "/local/resources", Handle: s.listResources},
		{Method: http.MethodGet, Path: "/local/code", Handle: s.largestCode},
		{Method: http.MethodGet, Path: "/local/crons", Handle: s.cronRuns},
		{Method: http.MethodGet, Path: "/local/backup", Handle: s.backup},
		{Method: http.MethodPost, Path: "/local/tokens", Edit: true, Handle: s.createToken},
		{Method: http.MethodGet, Path: "/local/tokens", Handle: s.listTokens},
		{Method: http.MethodDelete, Path: "/local/tokens/{token}", Edit: true, Handle: s.revokeToken},
	}
	for _, k := range s.Kinds {
		if k, ok := k.(binding.LocalRouter); ok {
			routes = append(routes, k.LocalRoutes()...)
		}
	}
	return routes
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

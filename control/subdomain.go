package control

import (
	"errors"
	"net/http"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/state"
)

// defaultSubdomain is the account's label on workers.dev. Hostnames here do not
// have it; clients insist that there is one.
const defaultSubdomain = "selvage"

func (s *server) getAccountSubdomain(w http.ResponseWriter, r *http.Request) error {
	name := defaultSubdomain
	err := s.view(r, func(tx *state.Tx) error {
		set, err := tx.Setting("subdomain")
		if errors.Is(err, state.ErrNotFound) {
			return nil
		}
		name = set
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"subdomain": name})
}

func (s *server) putAccountSubdomain(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Subdomain string `json:"subdomain"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	if err := checkName(body.Subdomain); err != nil {
		return err
	}
	if err := s.update(r, func(tx *state.Tx) error { return tx.PutSetting("subdomain", body.Subdomain) }); err != nil {
		return err
	}
	return api.Write(w, body)
}

func subdomainJSON(w state.Worker) map[string]any {
	return map[string]any{"enabled": w.Subdomain, "previews_enabled": w.Previews}
}

func (s *server) getSubdomain(w http.ResponseWriter, r *http.Request) error {
	var worker state.Worker
	err := s.view(r, func(tx *state.Tx) (err error) {
		worker, err = s.worker(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, subdomainJSON(worker))
}

// postSubdomain turns the Worker's own hostname, and the preview URLs of its
// versions, on or off. Preview URLs follow the hostname unless they are named.
func (s *server) postSubdomain(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Enabled         *bool `json:"enabled"`
		PreviewsEnabled *bool `json:"previews_enabled"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	if body.Enabled == nil {
		return badRequest(10001, "enabled must be true or false")
	}
	if body.PreviewsEnabled == nil {
		body.PreviewsEnabled = body.Enabled
	}
	worker, err := s.changeWorker(r, func(w *state.Worker) error {
		w.Subdomain, w.Previews = *body.Enabled, *body.PreviewsEnabled
		return nil
	})
	if err != nil {
		return err
	}
	return api.Write(w, subdomainJSON(worker))
}

func (s *server) deleteSubdomain(w http.ResponseWriter, r *http.Request) error {
	worker, err := s.changeWorker(r, func(w *state.Worker) error {
		w.Subdomain, w.Previews = false, false
		return nil
	})
	if err != nil {
		return err
	}
	return api.Write(w, subdomainJSON(worker))
}

package control

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/state"
)

// defaultSubdomain is the account's label on workers.dev. Hostnames here do not
// have it; clients insist that there is one.
const defaultSubdomain = "selvage"

// shown is what makes a true address of "https://<name>.<subdomain>.workers.dev",
// which is what wrangler prints and all that it lets a server say of an address:
// "localhost:8080/#". What follows is a fragment, which nobody sends. Its scheme
// cannot be changed, so the fragment says what to use instead.
func (s *server) shown() string {
	return s.state.WorkersDomain() + s.Port + "/#" + s.fragment()
}

func (s *server) fragment() string {
	if s.Scheme == "http" {
		return "use-http"
	}
	return ""
}

// fromWrangler reports whether wrangler sent the request.
func fromWrangler(r *http.Request) bool { return source(r) == "wrangler" }

func (s *server) getAccountSubdomain(w http.ResponseWriter, r *http.Request) error {
	if fromWrangler(r) {
		return api.Write(w, map[string]any{"subdomain": s.shown()})
	}
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

// addresses are those of a Worker, as newer clients ask for them. Of url wrangler
// prints only the host, so where that says too little it gets none and falls back
// on the account's subdomain.
func (s *server) addresses(r *http.Request, w state.Worker) map[string]any {
	m := subdomainJSON(w)
	url, suffix := fmt.Sprintf("%s://%s%s", s.Scheme, s.host(w.Name), s.Port), fmt.Sprintf("-%s%s", s.host(w.Name), s.Port)
	if s.Port == "" || !fromWrangler(r) {
		m["url"] = url
	}
	if f := s.fragment(); f != "" && fromWrangler(r) {
		suffix += "/#" + f
	}
	m["preview_url_suffix"] = suffix
	return m
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

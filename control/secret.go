package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/state"
)

// A secret is a binding like any other: changing one makes a new version,
// which takes the place of the one in force.

func noSecret(name string) error {
	return api.Errorf(http.StatusNotFound, 10056, "Secret binding %q not found", name)
}

// secrets are the secrets of the newest version.
func (s *server) secrets(r *http.Request) ([]map[string]any, error) {
	list := []map[string]any{}
	err := s.view(r, func(tx *state.Tx) error {
		worker, err := s.worker(tx, r)
		if err != nil {
			return err
		}
		v, err := latest(tx, worker.Name)
		if v == nil {
			return err
		}
		for _, b := range v.Bindings {
			if s.state.IsSecret(b.Type) {
				list = append(list, map[string]any{"name": b.Name, "type": b.Type})
			}
		}
		return err
	})
	sort.Slice(list, func(i, j int) bool { return list[i]["name"].(string) < list[j]["name"].(string) })
	return list, err
}

func (s *server) listSecrets(w http.ResponseWriter, r *http.Request) error {
	list, err := s.secrets(r)
	if err != nil {
		return err
	}
	return api.Write(w, list)
}

func (s *server) getSecret(w http.ResponseWriter, r *http.Request) error {
	list, err := s.secrets(r)
	if err != nil {
		return err
	}
	for _, x := range list {
		if x["name"] == r.PathValue("secret") {
			return api.Write(w, x)
		}
	}
	return noSecret(r.PathValue("secret"))
}

func (s *server) putSecret(w http.ResponseWriter, r *http.Request) error {
	var body json.RawMessage
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	var head struct{ Name, Type string }
	if err := json.Unmarshal(body, &head); err != nil || head.Name == "" {
		return badRequest(10001, "a secret must have a name")
	}
	if head.Type == "" {
		head.Type = s.secretTypes[0]
	}
	if !s.state.IsSecret(head.Type) {
		return badRequest(10001, "the type of a secret must be %s, not %q", strings.Join(s.secretTypes, " or "), head.Type)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return badRequest(10001, "the secret is not an object: %v", api.Explain(err))
	}
	fields["type"], _ = json.Marshal(head.Type)
	value, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	if err := s.changeSecrets(r, map[string]json.RawMessage{head.Name: value}, fmt.Sprintf("Updated secret %q.", head.Name)); err != nil {
		return err
	}
	return api.Write(w, map[string]any{"name": head.Name, "type": head.Type})
}

func (s *server) deleteSecret(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("secret")
	list, err := s.secrets(r)
	if err != nil {
		return err
	}
	for _, x := range list {
		if x["name"] == name {
			if err := s.changeSecrets(r, map[string]json.RawMessage{name: nil}, fmt.Sprintf("Deleted secret %q.", name)); err != nil {
				return err
			}
			return api.Write(w, nil)
		}
	}
	return noSecret(name)
}

// patchSecrets is a merge patch {"secrets":{NAME:{name,text,type} or null}}.
func (s *server) patchSecrets(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Secrets map[string]json.RawMessage `json:"secrets"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	for name, value := range body.Secrets {
		var head *struct{ Type string }
		if err := json.Unmarshal(value, &head); err != nil || head != nil && !s.state.IsSecret(head.Type) {
			return badRequest(10001, "the secret %q must be null or have the type %s", name, strings.Join(s.secretTypes, " or "))
		}
	}
	if err := s.changeSecrets(r, body.Secrets, "Bulk update of secrets."); err != nil {
		return err
	}
	return s.listSecrets(w, r)
}

// changeSecrets deploys a copy of the newest version with other secrets.
func (s *server) changeSecrets(r *http.Request, patch map[string]json.RawMessage, message string) error {
	d, err := s.begin(r, r.PathValue("script"))
	if err != nil {
		return err
	}
	defer d.end()
	if d.before == nil {
		return notFound(d.worker.Name)
	}
	if err := d.beforeIsDeployed(); err != nil {
		return err
	}
	d.copyBefore()
	d.Handlers, d.Startup = d.before.Handlers, d.before.Startup
	for name := range patch {
		if b, ok := d.Bindings.Find(name); ok && !s.state.IsSecret(b.Type) {
			return badRequest(10053, "Binding name '%s' already in use. Please use a different name and try again.", name)
		}
	}
	if d.Bindings, err = s.patchBindings(d.Bindings, patch); err != nil {
		return err
	}
	d.Annotations = annotate(map[string]string{"workers/message": message}, "secret")
	if err := d.check(); err != nil {
		return err
	}
	return d.storeDeployed(d.Annotations)
}

// beforeIsDeployed refuses to change a Worker in place unless its newest version
// is the one in force: otherwise the change would deploy code that nobody has
// asked to deploy.
func (d *draft) beforeIsDeployed() error {
	return d.s.view(d.r, func(tx *state.Tx) error {
		live, err := tx.Deployment(d.worker.Name)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		if len(live.Shares) == 1 && live.Shares[0].Version == d.before.ID {
			return nil
		}
		return badRequest(10215, "The latest version of your Worker isn't currently deployed. Deploy it first, or change secrets with wrangler versions secret.")
	})
}

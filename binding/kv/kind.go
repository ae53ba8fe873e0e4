package kv

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

var (
	_ binding.Opener      = (*Kind)(nil)
	_ binding.Maker       = (*Kind)(nil)
	_ binding.Provisioner = (*Kind)(nil)
	_ binding.Bounded     = (*Kind)(nil)
	_ binding.Sweeper     = (*Kind)(nil)
	_ binding.Measurer    = (*Kind)(nil)
	_ binding.Router      = (*Kind)(nil)
	_ binding.LocalRouter = (*Kind)(nil)
)

// Open implements binding.Opener.
func (k *Kind) Open(home binding.Home) error {
	values, err := home.Blobs("kv")
	if err != nil {
		return err
	}
	k.store, err = OpenStore(home.Keyed, values, Options{Now: home.Now, Memory: home.Memory, Quota: home.Quota("kv"), NamespaceQuota: home.Quota("kv_namespace"), Logger: home.Log})
	return err
}

// Close implements io.Closer.
func (k *Kind) Close() error { return k.store.Close() }

// Quotas implements binding.Bounded. The files have more than is counted: the
// keyed store is shared, and keeps old values for a while.
func (*Kind) Quotas() []binding.Quota {
	return []binding.Quota{
		{Key: "kv", Name: "KV", Folders: []string{"keyed", "blob/kv"}},
		{Key: "kv_namespace", Name: "largest KV namespace", Ask: "/local/kv"},
	}
}

// Make implements binding.Maker.
func (k *Kind) Make(_ context.Context, b config.Binding) error {
	id, err := namespaceID(b)
	if err != nil {
		return err
	}
	if _, err := k.store.Ensure(id); err != nil {
		return fmt.Errorf("binding %s (kv_namespace): %w", b.Name, err)
	}
	return nil
}

// Provision implements binding.Provisioner. The title is the one that wrangler
// gives to a namespace that it makes itself.
func (k *Kind) Provision(worker string, b config.Binding) ([]binding.Provision, error) {
	var s struct {
		ID string `json:"namespace_id"`
	}
	if err := b.Decode(&s); err != nil || s.ID == "" {
		return nil, err
	}
	title := worker + "-" + strings.ToLower(strings.ReplaceAll(b.Name, "_", "-"))
	return []binding.Provision{{
		Name: fmt.Sprintf("KV namespace %s (%s)", title, s.ID),
		Find: "/storage/kv/namespaces/" + url.PathEscape(s.ID), Create: "/storage/kv/namespaces",
		Body: map[string]string{"title": title, "id": s.ID},
	}}, nil
}

// Sweep implements binding.Sweeper: crashes, and races between puts of the same
// key, leave large values behind that have no key.
func (k *Kind) Sweep(ctx context.Context) (int, error) {
	n, err := k.store.SweepBlobs(ctx)
	if k.store.quota.counts() {
		_, wrong := k.store.Measure(ctx)
		err = errors.Join(err, wrong)
	}
	return n, err
}

// Measure implements binding.Measurer.
func (k *Kind) Measure(m *telemetry.Metrics) { m.Depth("kv writes", k.store.db.Writing) }

// Routes implements binding.Router.
func (k *Kind) Routes() []api.Route { return k.store.Routes() }

// LocalRoutes implements binding.LocalRouter: a namespace that a project's
// configuration names exists before any Worker has used it, and the largest
// namespace is asked for.
func (k *Kind) LocalRoutes() []api.Route {
	return []api.Route{
		{Method: http.MethodPut, Path: "/local/kv/{id}", Edit: true, Handle: func(w http.ResponseWriter, r *http.Request) error {
			if _, err := k.store.Ensure(r.PathValue("id")); err != nil {
				return err
			}
			return api.Write(w, nil)
		}},
		{Method: http.MethodGet, Path: "/local/kv", Handle: func(w http.ResponseWriter, r *http.Request) error {
			largest, err := k.store.Largest(r.Context())
			if err != nil {
				return err
			}
			return api.Write(w, largest)
		}},
	}
}

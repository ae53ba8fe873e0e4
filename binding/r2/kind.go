package r2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

var (
	_ binding.Opener      = (*Kind)(nil)
	_ binding.Maker       = (*Kind)(nil)
	_ binding.Provisioner = (*Kind)(nil)
	_ binding.Deployer    = (*Kind)(nil)
	_ binding.Bounded     = (*Kind)(nil)
	_ binding.Sweeper     = (*Kind)(nil)
	_ binding.Measurer    = (*Kind)(nil)
	_ binding.Router      = (*Kind)(nil)
	_ binding.LocalRouter = (*Kind)(nil)
	_ binding.Hosted      = (*Kind)(nil)
	_ binding.ZoneHolder  = (*Kind)(nil)
	_ binding.Runner      = (*Kind)(nil)
	_ binding.Analyst     = (*Kind)(nil)
)

// Open implements binding.Opener.
func (k *Kind) Open(home binding.Home) error {
	content, err := home.Blobs("r2")
	if err != nil {
		return err
	}
	k.store, err = OpenStore(home.Keyed, content, Options{Now: home.Now, Quota: home.Quota("r2"), Upstreams: home.Upstreams["r2"], Memory: home.Memory, WorkersDomain: home.WorkersDomain, TakeHost: home.TakeHost, Account: home.Account, Inbox: home.Inbox, Logger: home.Log})
	k.port = home.Port
	return err
}

// Store is the open store: the S3 API is another way to it.
func (k *Kind) Store() *Store { return k.store }

// Quotas implements binding.Bounded. Small objects are in the keyed store, which
// others share.
func (*Kind) Quotas() []binding.Quota {
	return []binding.Quota{{Key: "r2", Name: "R2", Folders: []string{"blob/r2"}}}
}

// Hosted implements binding.Hosted: public buckets.
func (k *Kind) Hosted(host string) *binding.HostOwner {
	if h := (*k.store.hosts.Load())[host]; h != nil {
		return &h.HostOwner
	}
	return nil
}

// HoldsZone implements binding.ZoneHolder.
func (k *Kind) HoldsZone(zone string) string {
	for name, h := range *k.store.hosts.Load() {
		if slices.ContainsFunc(h.b.settings.Load().Domains, func(d Domain) bool { return d.Host == name && d.Zone == zone }) {
			return fmt.Sprintf("its host %s is a custom domain of the R2 bucket %s; remove it with `wrangler r2 bucket domain remove %[2]s --domain %[1]s` first", name, h.b.name)
		}
	}
	return ""
}

// Make implements binding.Maker.
func (k *Kind) Make(_ context.Context, b config.Binding) error {
	of, err := name(b)
	if err != nil {
		return err
	}
	if _, err := k.store.Ensure(of); err != nil {
		return fmt.Errorf("binding %s (r2_bucket): %w", b.Name, err)
	}
	return nil
}

// Provision implements binding.Provisioner.
func (k *Kind) Provision(_ string, b config.Binding) ([]binding.Provision, error) {
	var s struct {
		Name string `json:"bucket_name"`
	}
	if err := b.Decode(&s); err != nil || s.Name == "" {
		return nil, err
	}
	return []binding.Provision{{
		Name: "R2 bucket " + s.Name,
		Find: "/r2/buckets/" + url.PathEscape(s.Name), Create: "/r2/buckets",
		Body: map[string]string{"name": s.Name},
	}}, nil
}

// Deployable implements binding.Deployer.
func (k *Kind) Deployable(_ string, b config.Binding) error { return k.Validate(b) }

// Run implements binding.Runner: it delivers event notifications.
func (k *Kind) Run(ctx context.Context, _ binding.Events, _ config.Source) {
	if k.store.inbox != nil {
		k.store.Deliver(ctx)
	}
}

// Sweep implements binding.Sweeper.
func (k *Kind) Sweep(ctx context.Context) (int, error) { return k.store.Sweep(ctx) }

// Measure implements binding.Measurer.
func (k *Kind) Measure(m *telemetry.Metrics) {
	m.Depth("r2 writes", func() int { return int(k.store.writing.Load()) })
	m.Depth("r2 notifications", func() int { return int(k.store.notes.Load()) })
	m.Depth("r2 reads", func() int { return int(k.store.reading.Load()) })
}

// Routes implements binding.Router.
func (k *Kind) Routes() []api.Route { return rest{k.store, k.port}.routes() }

// LocalRoutes implements binding.LocalRouter: the content of all objects is
// verified.
func (k *Kind) LocalRoutes() []api.Route {
	return []api.Route{
		{Method: http.MethodGet, Path: "/local/r2/scrub", Handle: func(w http.ResponseWriter, r *http.Request) error {
			found, err := k.store.Scrub(r.Context())
			if err != nil {
				return err
			}
			return api.Write(w, found)
		}},
	}
}

// Datasets implements binding.Analyst: what wrangler shows of a bucket.
func (k *Kind) Datasets() []binding.Dataset {
	return []binding.Dataset{{Name: "r2StorageAdaptiveGroups", Scope: "r2", Rows: func(ctx context.Context, filter map[string]any) (any, error) {
		name, _ := filter["bucketName"].(string)
		u, err := k.store.Usage(ctx, name)
		if errors.Is(err, ErrNoSuchBucket) {
			return []any{}, nil
		}
		if err != nil {
			return nil, err
		}
		return []any{map[string]any{
			"max":        map[string]int64{"objectCount": u.Objects, "uploadCount": u.Uploads, "payloadSize": u.Payload, "metadataSize": u.Metadata},
			"dimensions": map[string]any{"bucketName": name, "datetime": k.store.moment()},
		}}, nil
	}}}
}

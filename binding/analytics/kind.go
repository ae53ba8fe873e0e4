package analytics

import (
	"context"
	"path/filepath"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/telemetry"
)

var (
	_ binding.Opener   = (*Kind)(nil)
	_ binding.Filer    = (*Kind)(nil)
	_ binding.Bounded  = (*Kind)(nil)
	_ binding.Sweeper  = (*Kind)(nil)
	_ binding.Measurer = (*Kind)(nil)
	_ binding.Router   = (*Kind)(nil)
)

// folder is where the store is, in the data directory.
const folder = "analytics"

// Open implements binding.Opener.
func (k *Kind) Open(home binding.Home) (err error) {
	k.store, err = OpenStore(filepath.Join(home.Dir, folder), Options{Now: home.Now, Logger: home.Log, MaxBytes: home.Quota("analytics_engine")})
	return err
}

// Close implements io.Closer.
func (k *Kind) Close() error { return k.store.Close() }

// Files implements binding.Filer.
func (*Kind) Files() binding.Files { return binding.Files{Folder: folder} }

// Quotas implements binding.Bounded.
func (*Kind) Quotas() []binding.Quota {
	return []binding.Quota{{Key: "analytics_engine", Name: "Analytics Engine", Folders: []string{folder}, Suffix: ".sqlite"}}
}

// Sweep implements binding.Sweeper.
func (k *Kind) Sweep(ctx context.Context) (int, error) { return k.store.Sweep(ctx) }

// Measure implements binding.Measurer.
func (k *Kind) Measure(m *telemetry.Metrics) {
	m.Depth("analytics points", k.store.Pending)
	m.Counter("selvage_analytics_dropped_total", "Data points of Analytics Engine that were lost: they came too fast, or could not be written.",
		func() float64 { return float64(k.store.Dropped()) })
}

// Routes implements binding.Router.
func (k *Kind) Routes() []api.Route { return rest{k}.routes() }

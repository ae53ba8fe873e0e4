package queue

import (
	"context"
	"fmt"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

var (
	_ binding.Opener   = (*Kind)(nil)
	_ binding.Maker    = (*Kind)(nil)
	_ binding.Deployer = (*Kind)(nil)
	_ binding.Sweeper  = (*Kind)(nil)
	_ binding.Measurer = (*Kind)(nil)
	_ binding.Router   = (*Kind)(nil)
	_ binding.Runner   = (*Kind)(nil)
)

// Open implements binding.Opener.
func (k *Kind) Open(home binding.Home) (err error) {
	k.store, err = OpenStore(home.Keyed, Options{Now: home.Now, Logger: home.Log})
	return err
}

// Make implements binding.Maker.
func (k *Kind) Make(_ context.Context, b config.Binding) error {
	name, _, err := settings(b)
	if err != nil {
		return err
	}
	if _, err := k.store.Ensure(name); err != nil {
		return fmt.Errorf("binding %s (queue): %w", b.Name, err)
	}
	return nil
}

// Deployable implements binding.Deployer.
func (k *Kind) Deployable(_ string, b config.Binding) error { return k.Validate(b) }

// Sweep implements binding.Sweeper: messages that are too old are not delivered,
// and here they are deleted.
func (k *Kind) Sweep(ctx context.Context) (int, error) { return k.store.Sweep(ctx) }

// Measure implements binding.Measurer.
func (k *Kind) Measure(m *telemetry.Metrics) {
	m.Depth("queue messages", func() int { return int(k.store.Backlog()) })
}

// Routes implements binding.Router.
func (k *Kind) Routes() []api.Route { return rest{k}.routes() }

package platform

import (
	"context"
	"sync"

	"github.com/selvage-edge/selvage/binding"
)

// startRunners runs the kinds that work as long as the platform does until the
// returned function is called, which waits for their end.
func (p *Platform) startRunners() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, k := range p.Stores.Kinds {
		if r, ok := k.(binding.Runner); ok {
			running.Go(func() { r.Run(ctx, p.Engine, p.source) })
		}
	}
	return func() {
		cancel()
		running.Wait()
	}
}

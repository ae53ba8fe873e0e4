package platform

import (
	"context"
	"errors"
	"time"

	"github.com/selvage-edge/selvage/binding"
)

const (
	// sweepEvery is how often what nothing refers to any more is deleted: what an
	// interrupted deploy, put or a deleted Worker leaves behind.
	sweepEvery = time.Hour
	// sweepAtMost bounds one sweep; the next one goes over everything again.
	sweepAtMost = 10 * time.Minute
)

// startSweeps sweeps now and every hour until the returned function is called,
// which waits for the end of one that is under way.
func (p *Platform) startSweeps() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(sweepEvery)
		defer ticker.Stop()
		for {
			p.sweep(ctx, "control", p.Stores.State.Sweep)
			p.sweep(ctx, "cron", func(context.Context) (int, error) {
				workers := p.source.Current().Workers
				return p.Stores.Crons.Sweep(func(worker string) bool { return workers[worker] != nil })
			})
			for _, k := range p.Stores.Kinds {
				if s, ok := k.(binding.Sweeper); ok {
					p.sweep(ctx, k.Type(), s.Sweep)
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (p *Platform) sweep(ctx context.Context, store string, sweep func(context.Context) (int, error)) {
	bounded, cancel := context.WithTimeout(ctx, sweepAtMost)
	defer cancel()
	deleted, err := sweep(bounded)
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil: // closing
	case err != nil:
		p.log.Error("sweep", "store", store, "deleted", deleted, "err", err)
	case deleted > 0:
		p.log.Info("swept what nothing uses any more", "store", store, "deleted", deleted)
	}
}

package platform

import (
	"context"
	"errors"
	"time"
)

const (
	// sweepEvery is how often code that nothing refers to any more is deleted:
	// what an interrupted deploy or a deleted Worker leaves behind.
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
			p.sweep(ctx)
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

func (p *Platform) sweep(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, sweepAtMost)
	defer cancel()
	deleted, err := p.Stores.State.Sweep(bounded)
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil: // closing
	case err != nil:
		p.log.Error("sweep", "deleted", deleted, "err", err)
	case deleted > 0:
		p.log.Info("swept modules and static files that nothing uses any more", "deleted", deleted)
	}
}

package program

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/selvage-edge/selvage/config"
)

// Invocation is one run of a Worker's handler.
type Invocation struct {
	// Worker and Version say what runs.
	Worker  string
	Version *config.Version
	// Props is the JSON that a service binding carries; nil without.
	Props json.RawMessage
	run   *run
}

type invocationKey struct{}

// InvocationFrom returns the invocation that ctx belongs to, or nil.
func InvocationFrom(ctx context.Context) *Invocation {
	i, _ := ctx.Value(invocationKey{}).(*Invocation)
	return i
}

// Logger returns the Worker's log: the lines that console.* gives for a Worker
// in JavaScript.
func (i *Invocation) Logger() *slog.Logger { return slog.New(&logHandler{run: i.run}) }

// WaitUntil runs f on a goroutine of its own. f outlives the response; the
// host's Close waits for it. Its context is the invocation's without the
// client's cancellation, and ends when Close has waited long enough. A panic or
// an error of f is logged and makes the invocation's outcome "exception".
func (i *Invocation) WaitUntil(f func(ctx context.Context) error) {
	r := i.run
	r.retain()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	stop := context.AfterFunc(r.p.stopped, cancel)
	go func() {
		defer r.release()
		defer cancel()
		defer stop()
		if err := protect(func() error { return f(ctx) }); err != nil {
			r.threw(err)
		}
	}()
}

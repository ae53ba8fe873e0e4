package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/selvage-edge/selvage/engine/program"
	"github.com/selvage-edge/selvage/fault"
)

// Outcome is how the handler of an event ended.
type Outcome struct {
	// Outcome is "ok", "exception", "exceededCpu", … as in tail events.
	Outcome string `json:"outcome"`
	// NoRetry: the handler asked not to be called again, or there is none.
	NoRetry bool `json:"noRetry"`
}

// Scheduled runs the Worker's scheduled() handler and waits for it, its
// waitUntil promises included. cron is the expression that fired and at the
// minute it fired for. An exception of the handler is an Outcome, not an error.
func (e *Engine) Scheduled(ctx context.Context, worker, cron string, at time.Time) (Outcome, error) {
	var out Outcome
	if p := e.programs.Find(worker); p != nil {
		v, err := e.programVersion(worker)
		if err != nil {
			return out, err
		}
		out.Outcome, out.NoRetry, err = p.Scheduled(ctx, v, program.ScheduledEvent{Cron: cron, Time: at})
		return out, err
	}
	err := e.event(ctx, worker, "/scheduled", map[string]any{"cron": cron, "scheduledTime": at.UnixMilli()}, &out)
	return out, err
}

// event posts an event to the shim of one of the Worker's cells.
func (e *Engine) event(ctx context.Context, worker, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("send event %s: %w", path, err)
	}
	for {
		w, err := e.lookup(worker)
		if err != nil {
			return err
		}
		v, err := w.choose(nil, "")
		if err != nil {
			return err
		}
		if v.MainModule == "" {
			return fault.NotConfigured.With(fmt.Sprintf("Worker %q consists of static assets only: it handles no events.", worker), nil)
		}
		c, err := w.acquire(ctx, v)
		if errors.Is(err, errRetired) {
			continue
		}
		if err != nil {
			return err
		}
		defer c.release()
		return c.event(ctx, path, body, out)
	}
}

// event posts an event to the cell's shim.
func (c *cell) event(ctx context.Context, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://events"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("send event %s: %w", path, err)
	}
	res, err := c.events.Do(req)
	if err == nil {
		defer res.Body.Close()
		body, err = io.ReadAll(res.Body)
	}
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		select {
		case <-c.proc.Done():
			return c.cause()
		case <-time.After(time.Second):
			return fault.Unavailable.With("The connection to the Worker broke.", err)
		}
	}
	if res.StatusCode != http.StatusOK {
		return fault.Internal.With("", fmt.Errorf("send event %s: the shim answered %s: %s", path, res.Status, body))
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fault.Internal.With("", fmt.Errorf("send event %s: %w", path, err))
	}
	return nil
}

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/telemetry"
)

// Headers of an event on its way to the shim: the length of the JSON at the
// start of the body, and what the runtime is to know the event by.
const (
	eventHeadHeader = "Selvage-Head"
	eventTagHeader  = "Selvage-Tag"
)

// maxEventHead bounds the JSON of an event, maxEventAnswer what comes back.
const (
	maxEventHead   = 1 << 20
	maxEventAnswer = 64 << 20
)

// errEventLimit ends the context of an event that took too long.
var errEventLimit = errors.New("the handler exceeded its wall time")

// Send implements [binding.Events].
func (e *Engine) Send(ctx context.Context, worker string, ev binding.Event) (binding.Outcome, error) {
	began := time.Now()
	out, err := e.send(ctx, worker, ev)
	if e.o.Events != nil {
		told := telemetry.Event{Worker: worker, Type: ev.Type, Outcome: out.Outcome, Duration: time.Since(began)}
		switch {
		case errors.Is(err, binding.ErrNotBegun):
			told.Outcome = "unreached"
		case err != nil:
			told.Outcome = "lost"
		}
		e.o.Events(told)
	}
	return out, err
}

func (e *Engine) send(ctx context.Context, worker string, ev binding.Event) (binding.Outcome, error) {
	if ev.ID == "" {
		ev.ID = telemetry.NewRay()
	}
	if ev.Limit == 0 {
		ev.Limit = binding.EventLimit
	}
	if p := e.programs.Find(worker); p != nil {
		v, err := e.programVersion(worker)
		if err != nil {
			return binding.Outcome{}, notBegun(err)
		}
		return p.Send(ctx, v, ev)
	}
	head, err := json.Marshal(ev.Head)
	if err == nil && (len(head) > maxEventHead || ev.Size > binding.MaxEventBody) {
		err = fmt.Errorf("it has %d bytes of JSON and %d more; the limits are %d and %d", len(head), ev.Size, maxEventHead, binding.MaxEventBody)
	}
	if err != nil {
		return binding.Outcome{}, notBegun(fault.Internal.With("", fmt.Errorf("send %s event to Worker %s: %w", ev.Type, worker, err)))
	}
	c, err := e.eventCell(ctx, worker)
	if err != nil {
		return binding.Outcome{}, notBegun(err)
	}
	defer c.release()
	return c.deliver(ctx, ev, head)
}

// shimClient makes the client of a cell's shim. Each request has a connection of
// its own: when none could be made, nothing was sent.
func shimClient(p *plan) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: dialUnix(p.eventSocket), DisableKeepAlives: true}}
}

// notBegun marks an error as one after which the event can be sent again.
func notBegun(err error) error { return fmt.Errorf("%w: %w", binding.ErrNotBegun, err) }

// eventCell returns the cell that takes the Worker's next event; release it.
func (e *Engine) eventCell(ctx context.Context, worker string) (*cell, error) {
	for {
		w, err := e.lookup(worker)
		if err != nil {
			return nil, err
		}
		v, err := w.choose(nil, "")
		if err != nil {
			return nil, err
		}
		if v.MainModule == "" {
			return nil, fault.NotConfigured.With(fmt.Sprintf("Worker %q consists of static assets only: it handles no events.", worker), nil)
		}
		c, err := w.acquire(ctx, v)
		if errors.Is(err, errRetired) {
			continue // deployed anew in this moment
		}
		return c, err
	}
}

// deliver sends an event to the cell's shim and reads the outcome.
func (c *cell) deliver(ctx context.Context, ev binding.Event, head []byte) (out binding.Outcome, err error) {
	if ctx.Err() != nil {
		return out, notBegun(context.Cause(ctx))
	}
	limited, cancel := context.WithTimeoutCause(ctx, ev.Limit, errEventLimit)
	defer cancel()
	content := io.Reader(bytes.NewReader(head))
	if ev.Body != nil {
		content = io.MultiReader(content, ev.Body)
	}
	req, err := http.NewRequestWithContext(limited, http.MethodPost, "http://events/event/"+ev.Type, content)
	if err != nil {
		return out, notBegun(fmt.Errorf("send %s event: %w", ev.Type, err))
	}
	req.ContentLength = int64(len(head)) + ev.Size
	req.Header.Set(eventHeadHeader, strconv.Itoa(len(head)))
	if c.plan.attributed {
		req.Header.Set(eventTagHeader, c.plan.mark.tag(ev.ID))
	}
	res, err := c.events.Do(req)
	if err != nil {
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			return out, notBegun(c.broken(ctx, err))
		}
		return out, c.unanswered(ctx, limited, &out, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxEventAnswer))
	if err != nil {
		return out, c.unanswered(ctx, limited, &out, err)
	}
	if res.StatusCode != http.StatusOK {
		return out, notBegun(fault.Internal.With("", fmt.Errorf("send %s event: the shim answered %s: %s", ev.Type, res.Status, answer)))
	}
	var line struct {
		binding.Outcome
		Error string `json:"error"`
	}
	answer, body, _ := bytes.Cut(answer, []byte("\n"))
	if err = json.Unmarshal(answer, &line); err == nil && line.Error != "" {
		err = errors.New(line.Error)
	}
	if err != nil {
		return out, fault.Internal.With("", fmt.Errorf("send %s event: %w", ev.Type, err))
	}
	line.Body = body
	return line.Outcome, nil
}

// unanswered says what has become of an event that the shim may have got. The
// end of its time is an outcome.
func (c *cell) unanswered(ctx, limited context.Context, out *binding.Outcome, err error) error {
	if ctx.Err() == nil && errors.Is(context.Cause(limited), errEventLimit) {
		*out = binding.Outcome{Outcome: "exceededWallTime"}
		return nil
	}
	return c.broken(ctx, err)
}

// ask puts a question to the cell's shim.
func (c *cell) ask(ctx context.Context, path string, in []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://events"+path, bytes.NewReader(in))
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	res, err := c.events.Do(req)
	var answer []byte
	if err == nil {
		defer res.Body.Close()
		answer, err = io.ReadAll(res.Body)
	}
	if err != nil {
		return c.broken(ctx, err)
	}
	if res.StatusCode != http.StatusOK {
		return fault.Internal.With("", fmt.Errorf("ask %s: the shim answered %s: %s", path, res.Status, answer))
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fault.Internal.With("", fmt.Errorf("ask %s: %w", path, err))
	}
	return nil
}

// broken says why the shim did not answer.
func (c *cell) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-c.proc.Done(): // it may take a moment until its end is known
		return c.cause()
	case <-time.After(time.Second):
		return fault.Unavailable.With("The connection to the Worker broke.", err)
	}
}

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/telemetry"
)

// objectHeader names, on a cell's events socket, the Durable Object that a
// request is for, as JSON. The shim removes it.
const objectHeader = "Selvage-Object"

// Object answers r by a Durable Object's fetch handler, obeying Dispatch's
// rules.
func (e *Engine) Object(w http.ResponseWriter, r *http.Request, o binding.Object) error {
	address, err := json.Marshal(o)
	if err != nil {
		return fault.Internal.With("", err)
	}
	c, err := e.owner(r.Context(), o)
	if err != nil {
		return err
	}
	return c.forwardObject(w, r, string(address))
}

// ObjectID returns the id of the object that o.Name names or, without a name, a
// new id that no object has.
func (e *Engine) ObjectID(ctx context.Context, o binding.Object) (string, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	var out struct{ ID, Error string }
	c, err := e.owner(ctx, o)
	if err != nil {
		return "", err
	}
	defer c.release()
	err = c.ask(ctx, "/object-id", body, &out)
	if err == nil && out.Error != "" {
		err = errors.New(out.Error)
	}
	return out.ID, err
}

// owner returns the cell in which the objects of o's class live; release it.
func (e *Engine) owner(ctx context.Context, o binding.Object) (*cell, error) {
	for {
		w, err := e.lookup(o.Worker)
		if err != nil {
			return nil, err
		}
		v, err := w.choose(nil, "")
		if err != nil {
			return nil, err
		}
		if !hasClass(v, o.Class) {
			return nil, fault.NotConfigured.With(noClass(o.Worker, o.Class), nil)
		}
		c, err := w.acquireHome(ctx, v)
		if errors.Is(err, errRetired) {
			continue // deployed anew in this moment
		}
		return c, err
	}
}

func hasClass(v *config.Version, name string) bool {
	for _, c := range v.Classes {
		if c.Name == name {
			return true
		}
	}
	return false
}

// classBindings let the shim reach the classes of a version.
func classBindings(v *config.Version) []workerd.Binding {
	var list []workerd.Binding
	for _, c := range v.Classes {
		list = append(list, workerd.Binding{Name: "class " + c.Name, Value: workerd.DurableValue{ClassName: c.Name, Service: userService}})
	}
	return list
}

// forwardObject sends r to an object of the cell, through the shim.
func (c *cell) forwardObject(w http.ResponseWriter, r *http.Request, address string) error {
	done := c.release
	defer func() { done() }()
	record := telemetry.RequestFrom(r.Context())
	_, err := c.objects.Forward(w, r, hop.Call{
		Restart: &c.restart,
		Set: func(h http.Header) {
			privateHeaders(h, r, record)
			h[objectHeader] = []string{address}
		},
		Inspect: func(res *http.Response) error {
			if res.StatusCode == http.StatusSwitchingProtocols {
				c.upgrade()
				done = c.releaseSocket
			}
			return thrown(res)
		},
	})
	var he *hop.Error
	if !errors.As(err, &he) || he.Kind == hop.Canceled || he.Kind == hop.Client {
		return err
	}
	select {
	case <-c.proc.Done():
		return c.cause()
	default:
		return fault.Unavailable.With("The connection to the Worker broke.", err)
	}
}

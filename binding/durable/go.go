package durable

import (
	"context"
	"errors"
	"net/http"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/service"
	"github.com/selvage-edge/selvage/config"
)

var _ binding.GoKind = Kind{}

// Namespace is a class of Durable Objects of a JavaScript Worker, for a Worker
// written in Go: it reaches the objects by fetch. It is safe for concurrent use.
type Namespace struct {
	host  binding.Host
	class binding.Object // without id and name
}

var errUnbound = errors.New("the Durable Object namespace is not bound: it belongs into a field, with a binding tag, of a Worker's environment")

// Get returns the object with an id that IDFromName or NewUniqueID gave. It is
// an http.RoundTripper as every service is; the object comes into being with
// its first request.
func (n Namespace) Get(id string) service.Service {
	o := n.class
	o.ID = id
	return n.object(o)
}

// GetByName returns the object of that name.
func (n Namespace) GetByName(name string) service.Service {
	o := n.class
	o.Name = name
	return n.object(o)
}

func (n Namespace) object(o binding.Object) service.Service {
	return service.New(func(w http.ResponseWriter, r *http.Request) error {
		if n.host.Object == nil {
			return errUnbound
		}
		return n.host.Object(w, r, o)
	})
}

// IDFromName returns the id of the object of that name, 64 hexadecimal
// characters. It asks the Worker's cell; GetByName needs no id.
func (n Namespace) IDFromName(ctx context.Context, name string) (string, error) {
	if n.host.ObjectID == nil {
		return "", errUnbound
	}
	o := n.class
	o.Name = name
	return n.host.ObjectID(ctx, o)
}

// NewUniqueID returns an id that no object has yet.
func (n Namespace) NewUniqueID(ctx context.Context) (string, error) {
	if n.host.ObjectID == nil {
		return "", errUnbound
	}
	return n.host.ObjectID(ctx, n.class)
}

// Bind implements binding.GoKind for a Namespace. The class is one of another
// Worker, which script_name names: a Worker written in Go has none.
func (Kind) Bind(b config.Binding, at binding.Host, to any) error {
	p, ok := to.(*Namespace)
	if !ok {
		return &binding.TypeError{Types: "selvage.Durable"}
	}
	s, err := decode(b)
	if err != nil {
		return err
	}
	if s.ScriptName == "" {
		return errors.New("script_name must name the Worker that has the class " + s.ClassName)
	}
	*p = Namespace{host: at, class: binding.Object{Worker: s.ScriptName, Class: s.ClassName}}
	return nil
}

package binding

import (
	"context"
	"net/http"

	"github.com/selvage-edge/selvage/config"
)

// GoKind is a Kind that Workers written in Go can have, too.
type GoKind interface {
	Kind
	// Bind sets the variable that to points to: a *(*kv.Namespace), say. A
	// variable of a type that this kind does not know is a *TypeError. Bind is
	// called once for each Worker, before anything runs; what it sets is safe
	// for concurrent use.
	Bind(b config.Binding, at Host, to any) error
}

// Implier is a GoKind that needs no settings: a field of its type is enough.
type Implier interface {
	// Imply returns the binding that a variable without settings gets, or false
	// if its type is not this kind's.
	Imply(name string, to any) (config.Binding, bool)
}

// TypeError says that a binding does not fit a variable.
type TypeError struct {
	// Types are those that would fit, for a person to read.
	Types string
}

func (e *TypeError) Error() string { return "needs a field of type " + e.Types }

// Host is what a binding of a Worker written in Go can build on. Its functions
// obey the rules of the engine's Dispatch.
type Host struct {
	// Version is the Worker that has the binding.
	Version *config.Version
	// Call answers a request by another Worker.
	Call func(w http.ResponseWriter, r *http.Request, to Peer) error
	// Object answers a request by a Durable Object.
	Object func(w http.ResponseWriter, r *http.Request, to Object) error
	// ObjectID returns the id of the object of that name or, without a name, a
	// new one.
	ObjectID func(ctx context.Context, to Object) (string, error)
}

// Object names a Durable Object: by ID, 64 hexadecimal characters, or else by
// Name.
type Object struct {
	// Worker has the class.
	Worker string `json:"-"`
	// Class is the exported class.
	Class string `json:"class"`
	ID    string `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
}

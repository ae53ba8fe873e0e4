// Package binding is the contract between the kinds of binding that a Worker can
// have and everybody else.
//
// A kind is one package (kv, d1, …) with one type that implements [Kind]. The
// engine asks it to mount each binding of a version into the version's cell:
// the kind says how workerd should present it to the Worker and, if it needs
// one, which handler answers workerd's requests. The engine adds the socket,
// the capability and the isolation.
//
// A kind tells everything else by small interfaces, such as [Referrer],
// [Secretive] or [Router]. All of them are in optional.go.
package binding

import (
	"net/http"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// Kind turns one sort of binding into what a cell needs.
// Implementations are safe for concurrent use.
type Kind interface {
	// Type is Cloudflare's name for it in an upload: "kv_namespace".
	Type() string
	// Validate says what is wrong with the settings. It has no side effects
	// and does not ask whether the resource exists.
	Validate(b config.Binding) error
	// Mount makes the binding ready for one cell. It is called each time a cell
	// starts. An error keeps the version from starting and is shown to the user.
	Mount(b config.Binding, at Site) (Mount, error)
}

// Site is the place in a cell where a binding is mounted.
type Site struct {
	// Version is the Worker version whose cell is being made.
	Version *config.Version
	// Service is the name of the service, in the cell's configuration, that
	// leads to Mount.Handler (or to Mount.Peer). It is unique in the cell.
	Service string
}

// Mount is how one binding enters a cell.
type Mount struct {
	// Value is what workerd puts into env.
	Value workerd.Value
	// Handler answers the requests that reach Site.Service. The engine serves
	// it on the bindings socket behind an unguessable capability, so it needs
	// no authentication of its own. Nil when nothing is to be served.
	Handler http.Handler
	// Peer, instead of Handler, leads Site.Service to another Worker.
	Peer *Peer
	// Class, with Peer, is a Durable Object class of that Worker, to which the
	// binding leads. The engine then makes Value.
	Class string
	// Modules are extension modules that Value refers to. The same name with
	// the same text may be given by several bindings.
	Modules []workerd.ExtensionModule
	// Warning is told to whoever deploys the Worker: the binding works in part, or
	// will throw when used. Empty when all is well. Under `selvage dev` package
	// manifest tells it, with the line of the configuration.
	Warning string
}

// Peer names an entrypoint of a Worker, for service bindings.
type Peer struct {
	Worker string
	// Entrypoint is the name of an exported class; empty for the default export.
	Entrypoint string
	// Props is JSON that the entrypoint sees as ctx.props; empty for none.
	Props string
}

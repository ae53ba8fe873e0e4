package assets

import (
	"net/http"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

var _ binding.GoKind = Kind{}

// Bind implements binding.GoKind for an http.Handler, which answers with the
// files of the Worker as env.ASSETS.fetch() does.
func (k Kind) Bind(b config.Binding, at binding.Host, to any) error {
	p, ok := to.(*http.Handler)
	if !ok {
		return &binding.TypeError{Types: "http.Handler"}
	}
	m, err := k.Mount(b, binding.Site{Version: at.Version})
	*p = m.Handler
	return err
}

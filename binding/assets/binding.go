package assets

import (
	"fmt"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// Kind is the binding kind "assets": env.ASSETS, whose fetch() gives the files
// of the Worker's own version. Small files that are asked for stay in memory,
// unless it is the zero value.
type Kind struct{ hot *hot }

var _ binding.Fronter = Kind{}

// Kinds returns the kind.
func Kinds() []binding.Kind { return []binding.Kind{Kind{hot: newHot(maxHot)}} }

// Type implements binding.Kind.
func (Kind) Type() string { return "assets" }

// Validate implements binding.Kind. The binding has no settings.
func (Kind) Validate(config.Binding) error { return nil }

// Mount implements binding.Kind.
func (k Kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	if at.Version.Assets == nil {
		return binding.Mount{}, fmt.Errorf("binding %s: Worker %q has no static assets; set assets.directory in its configuration", b.Name, at.Version.Worker)
	}
	h, err := k.handler(at.Version)
	if err != nil {
		return binding.Mount{}, fmt.Errorf("binding %s: %w", b.Name, err)
	}
	return binding.Mount{Value: workerd.ServiceValue{Name: at.Service}, Handler: h.Binding()}, nil
}

// Front implements binding.Fronter: the files answer first, unless the version
// says otherwise.
func (k Kind) Front(v *config.Version) (binding.Front, []string, error) {
	h, err := k.handler(v)
	if err != nil {
		return nil, nil, err
	}
	return h.Serve, h.Warnings(), nil
}

// handler is New with what k keeps in memory.
func (k Kind) handler(v *config.Version) (*Handler, error) {
	h, err := New(v)
	if h != nil {
		h.hot = k.hot
	}
	return h, err
}

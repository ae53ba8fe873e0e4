package assets

import (
	"fmt"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// Kind is the binding kind "assets": env.ASSETS, whose fetch() gives the files
// of the Worker's own version.
type Kind struct{}

var _ binding.Fronter = Kind{}

// Kinds returns the kind.
func Kinds() []binding.Kind { return []binding.Kind{Kind{}} }

// Type implements binding.Kind.
func (Kind) Type() string { return "assets" }

// Validate implements binding.Kind. The binding has no settings.
func (Kind) Validate(config.Binding) error { return nil }

// Mount implements binding.Kind.
func (Kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	if at.Version.Assets == nil {
		return binding.Mount{}, fmt.Errorf("binding %s: Worker %q has no static assets; set assets.directory in its configuration", b.Name, at.Version.Worker)
	}
	h, err := New(at.Version)
	if err != nil {
		return binding.Mount{}, fmt.Errorf("binding %s: %w", b.Name, err)
	}
	return binding.Mount{Value: workerd.ServiceValue{Name: at.Service}, Handler: h.Binding()}, nil
}

// Front implements binding.Fronter: the files answer first, unless the version
// says otherwise.
func (Kind) Front(v *config.Version) (binding.Front, []string, error) {
	h, err := New(v)
	if err != nil {
		return nil, nil, err
	}
	return h.Serve, h.Warnings(), nil
}

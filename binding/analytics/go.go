package analytics

import (
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

var (
	_ binding.GoKind  = (*Kind)(nil)
	_ binding.Implier = (*Kind)(nil)
)

// Dataset is a binding of a Worker in Go. It is safe for concurrent use.
type Dataset struct {
	store *Store
	name  string
}

// WriteDataPoint writes a point, without waiting for the disk. The error says
// which limit the point exceeds.
func (d *Dataset) WriteDataPoint(p Point) error { return d.store.Write(d.name, p) }

// Bind implements binding.GoKind for a *Dataset.
func (k *Kind) Bind(b config.Binding, _ binding.Host, to any) error {
	p, ok := to.(**Dataset)
	if !ok {
		return &binding.TypeError{Types: "*analytics.Dataset"}
	}
	name, err := settings(b)
	if err != nil {
		return err
	}
	*p = &Dataset{k.store, name}
	return nil
}

// Imply implements binding.Implier: a data set is named after its binding.
func (k *Kind) Imply(name string, to any) (config.Binding, bool) {
	if _, ok := to.(**Dataset); !ok {
		return config.Binding{}, false
	}
	b, err := config.NewBinding(name, k.Type(), map[string]string{"dataset": name})
	return b, err == nil && k.Validate(b) == nil
}

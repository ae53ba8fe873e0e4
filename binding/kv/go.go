package kv

import (
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

var (
	_ binding.GoKind  = (*Kind)(nil)
	_ binding.Implier = (*Kind)(nil)
)

// Bind implements binding.GoKind for a *Namespace.
func (k *Kind) Bind(b config.Binding, _ binding.Host, to any) error {
	p, ok := to.(**Namespace)
	if !ok {
		return &binding.TypeError{Types: "*kv.Namespace"}
	}
	n, err := k.namespace(b)
	*p = n
	return err
}

// Imply implements binding.Implier: a namespace is named after its binding.
func (k *Kind) Imply(name string, to any) (config.Binding, bool) {
	if _, ok := to.(**Namespace); !ok {
		return config.Binding{}, false
	}
	b, err := config.NewBinding(name, k.Type(), map[string]string{"namespace_id": name})
	return b, err == nil
}

package queue

import (
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

var (
	_ binding.GoKind  = (*Kind)(nil)
	_ binding.Implier = (*Kind)(nil)
)

// Bind implements binding.GoKind for a *Producer.
func (k *Kind) Bind(b config.Binding, _ binding.Host, to any) error {
	p, ok := to.(**Producer)
	if !ok {
		return &binding.TypeError{Types: "*queue.Producer"}
	}
	var err error
	*p, err = k.producer(b)
	return err
}

// Imply implements binding.Implier: a queue is named after its binding.
func (k *Kind) Imply(name string, to any) (config.Binding, bool) {
	if _, ok := to.(**Producer); !ok {
		return config.Binding{}, false
	}
	b, err := config.NewBinding(name, k.Type(), map[string]string{"queue_name": name})
	return b, err == nil && k.Validate(b) == nil
}

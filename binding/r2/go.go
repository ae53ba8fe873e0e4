package r2

import (
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

var (
	_ binding.GoKind  = (*Kind)(nil)
	_ binding.Implier = (*Kind)(nil)
)

// Bind implements binding.GoKind for a *Bucket.
func (k *Kind) Bind(b config.Binding, _ binding.Host, to any) error {
	p, ok := to.(**Bucket)
	if !ok {
		return &binding.TypeError{Types: "*r2.Bucket"}
	}
	bucket, err := k.bucket(b)
	*p = bucket
	return err
}

// Imply implements binding.Implier: a bucket is named after its binding.
func (k *Kind) Imply(name string, to any) (config.Binding, bool) {
	if _, ok := to.(**Bucket); !ok {
		return config.Binding{}, false
	}
	b, err := config.NewBinding(name, k.Type(), map[string]string{"bucket_name": name})
	return b, err == nil
}

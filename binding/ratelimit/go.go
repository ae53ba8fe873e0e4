package ratelimit

import (
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

var _ binding.GoKind = (*Kind)(nil)

// Bind implements binding.GoKind for a *Limiter.
func (k *Kind) Bind(b config.Binding, _ binding.Host, to any) error {
	p, ok := to.(**Limiter)
	if !ok {
		return &binding.TypeError{Types: "*ratelimit.Limiter"}
	}
	s, err := decode(b)
	if err != nil {
		return err
	}
	*p, err = k.store.Limiter(s.NamespaceID, s.Simple.Limit, time.Duration(s.Simple.Period)*time.Second)
	return err
}

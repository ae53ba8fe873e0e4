package binding

import (
	"fmt"

	"github.com/selvage-edge/selvage/config"
)

// Kinds are kinds by type.
type Kinds map[string]Kind

// ByType makes Kinds of a list without two of one type.
func ByType(list []Kind) Kinds {
	kinds := make(Kinds, len(list))
	for _, k := range list {
		kinds[k.Type()] = k
	}
	return kinds
}

// Of returns the kind of a binding, or an error that names the binding.
func (kinds Kinds) Of(b config.Binding) (Kind, error) {
	k := kinds[b.Type]
	if k == nil {
		return nil, fmt.Errorf("binding %s: there is no kind of binding named %q here", b.Name, b.Type)
	}
	return k, nil
}

// Refer says where a binding leads.
func (kinds Kinds) Refer(b config.Binding) []Reference {
	if r, ok := kinds[b.Type].(Referrer); ok {
		return r.Refer(b)
	}
	return nil
}

// Deployable says why a version of that Worker cannot have b.
func (kinds Kinds) Deployable(worker string, b config.Binding) error {
	k, err := kinds.Of(b)
	if err != nil {
		return err
	}
	if d, ok := k.(Deployer); ok {
		if err := d.Deployable(worker, b); err != nil {
			return err
		}
	}
	return k.Validate(b)
}

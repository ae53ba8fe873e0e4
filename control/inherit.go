package control

import (
	"encoding/json"
	"slices"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control/state"
)

// mergeBindings makes the bindings of a new version from the uploaded ones and
// those of the version before it.
//
// A binding of type inherit is copied from before; a missing one is an error
// when strict and left out otherwise. One that has nothing but the name and
// type of a binding of before is copied too: `wrangler secret bulk` of version
// 4.86 and earlier writes what it does not change that way. Bindings of before whose type is in keep
// (nil: secrets, which clients do not have) are carried over unless the upload has one of that name.
func (s *server) mergeBindings(uploaded []config.Binding, before state.Bindings, keep *[]string, strict bool) (state.Bindings, error) {
	var list state.Bindings
	named := map[string]bool{}
	for _, b := range uploaded {
		if named[b.Name] {
			return nil, refused("the binding name %q is used more than once", b.Name)
		}
		named[b.Name] = true
		if b.Type != "inherit" {
			if old, ok := before.Find(b.Name); ok && old.Type == b.Type && isBare(b) {
				b = old
			}
			list = append(list, b)
			continue
		}
		source, err := inheritFrom(b)
		if err != nil {
			return nil, err
		}
		old, ok := before.Find(source)
		if !ok {
			if strict {
				return nil, &api.Error{Status: 400, Code: 10057, Message: "inherit binding '" + b.Name + "' is invalid: the previous version has no binding of that name"}
			}
			continue
		}
		if source != b.Name {
			fields := map[string]json.RawMessage{}
			if err := old.Decode(&fields); err != nil {
				return nil, err
			}
			if old, err = config.NewBinding(b.Name, old.Type, fields); err != nil {
				return nil, err
			}
		}
		list = append(list, old)
	}
	kept := s.secretTypes
	if keep != nil {
		kept = *keep
	}
	for _, b := range before {
		if !named[b.Name] && slices.Contains(kept, b.Type) {
			list = append(list, b)
		}
	}
	if len(list) > MaxBindings {
		return nil, refused("a Worker has at most %d bindings, not %d", MaxBindings, len(list))
	}
	return list, nil
}

// isBare reports whether a binding has a name and a type and nothing else.
func isBare(b config.Binding) bool {
	var fields map[string]json.RawMessage
	return b.Decode(&fields) == nil && len(fields) == 2
}

// checkUploaded refuses bindings that pretend to be stored secrets.
func (s *server) checkUploaded(list ...config.Binding) error {
	for _, b := range list {
		if s.state.SecretRef(b) != "" {
			return refused("binding %s: the field \"secret\" is not known", b.Name)
		}
	}
	return nil
}

// inheritFrom is the name under which the previous version has an inherited
// binding.
func inheritFrom(b config.Binding) (string, error) {
	var settings struct {
		OldName string `json:"old_name"`
	}
	if err := b.Decode(&settings); err != nil {
		return "", refused("%v", err)
	}
	if settings.OldName != "" {
		return settings.OldName, nil
	}
	return b.Name, nil
}

package analytics

import (
	"fmt"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// Kind is the binding "analytics_engine". Its settings are
//
//	{"dataset": "<name>"}
//
// Without a name the data set is called like the binding.
type Kind struct{ store *Store }

// Kinds returns the kind, not open yet.
func Kinds() []binding.Kind { return []binding.Kind{&Kind{}} }

// Type implements binding.Kind.
func (*Kind) Type() string { return "analytics_engine" }

func settings(b config.Binding) (dataset string, err error) {
	var s struct {
		Dataset string `json:"dataset"`
	}
	if err := b.Decode(&s); err != nil {
		return "", err
	}
	if s.Dataset == "" {
		s.Dataset = b.Name
	}
	if err := checkDataset(s.Dataset); err != nil {
		return "", fmt.Errorf("binding %s (analytics_engine): %w", b.Name, err)
	}
	return s.Dataset, nil
}

// Validate implements binding.Kind.
func (*Kind) Validate(b config.Binding) error {
	_, err := settings(b)
	return err
}

// Mount implements binding.Kind.
func (k *Kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	dataset, err := settings(b)
	if err != nil {
		return binding.Mount{}, err
	}
	return binding.Mount{Value: workerd.AnalyticsValue(at.Service), Handler: service{k.store, dataset}}, nil
}

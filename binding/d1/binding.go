package d1

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/hop/ask"
)

//go:embed d1.js
var source string

// module makes the object that Workers see.
var module = workerd.ExtensionModule{Name: "selvage:d1", Internal: true, Source: source}

// kind is the binding kind "d1".
type kind struct{ store *Store }

// Kinds returns the kind, not open yet.
func Kinds() []binding.Kind { return []binding.Kind{&kind{}} }

// settings is the binding's JSON.
//
// Source: https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/#bindings
type settings struct {
	ID string `json:"id"`
}

// Type implements binding.Kind.
func (*kind) Type() string { return "d1" }

// Validate implements binding.Kind.
func (*kind) Validate(b config.Binding) error {
	var s settings
	if err := b.Decode(&s); err != nil {
		return err
	}
	if s.ID == "" {
		return fmt.Errorf("binding %s (d1): id is missing; give the database's id", b.Name)
	}
	return nil
}

// Mount implements binding.Kind.
func (k *kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	if err := k.Validate(b); err != nil {
		return binding.Mount{}, err
	}
	if at.Version != nil && slices.Contains(at.Version.CompatibilityFlags, "d1_binding_jsrpc") {
		return binding.Mount{}, fmt.Errorf(
			"binding %s (d1): the compatibility flag d1_binding_jsrpc is not supported; remove it from compatibility_flags", b.Name)
	}
	db, err := k.database(b)
	if err != nil {
		return binding.Mount{}, err
	}
	worker := ""
	if at.Version != nil {
		worker = at.Version.Worker
	}
	return binding.Mount{
		Value: workerd.WrappedValue{
			Module: module.Name,
			Inner:  []workerd.Binding{{Name: "fetcher", Value: workerd.ServiceValue{Name: at.Service}}},
		},
		Modules: []workerd.ExtensionModule{module, ask.Module()},
		Handler: Service(db, worker),
	}, nil
}

// database finds the database of a binding.
func (k *kind) database(b config.Binding) (*Database, error) {
	var s settings
	if err := b.Decode(&s); err != nil {
		return nil, err
	}
	db, err := k.store.Database(context.Background(), s.ID)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("binding %s (d1): there is no database with id %s; create one with `wrangler d1 create`, or this one with `selvage provision`", b.Name, s.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("binding %s (d1): %w", b.Name, err)
	}
	return db, nil
}

package kv

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/hop/ask"
)

//go:embed kv.js
var source string

// module makes the object that Workers see.
var module = workerd.ExtensionModule{Name: "selvage:kv", Internal: true, Source: source}

// Kind is the binding "kv_namespace". Its settings are
//
//	{"namespace_id": "<id>"}
type Kind struct{ store *Store }

// Kinds returns the kind, not open yet.
func Kinds() []binding.Kind { return []binding.Kind{&Kind{}} }

// Type implements binding.Kind.
func (k *Kind) Type() string { return "kv_namespace" }

func namespaceID(b config.Binding) (string, error) {
	var settings struct {
		ID string `json:"namespace_id"`
	}
	if err := b.Decode(&settings); err != nil {
		return "", err
	}
	if settings.ID == "" {
		return "", fmt.Errorf("binding %s (kv_namespace): namespace_id is empty; set it to the id of a KV namespace", b.Name)
	}
	if len(settings.ID) > MaxKeyBytes {
		return "", fmt.Errorf("binding %s (kv_namespace): namespace_id has %d bytes; at most %d are allowed", b.Name, len(settings.ID), MaxKeyBytes)
	}
	return settings.ID, nil
}

// Validate implements binding.Kind.
func (k *Kind) Validate(b config.Binding) error {
	_, err := namespaceID(b)
	return err
}

// Mount implements binding.Kind.
func (k *Kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	n, err := k.namespace(b)
	if err != nil {
		return binding.Mount{}, err
	}
	if v := at.Version; v != nil && v.Site != nil && v.Site.Binding == b.Name {
		if err := n.hold(context.Background(), v.Site); err != nil {
			return binding.Mount{}, fmt.Errorf("binding %s (kv_namespace): %w", b.Name, err)
		}
	}
	worker := ""
	if at.Version != nil {
		worker = at.Version.Worker
	}
	if v := at.Version; v != nil && v.ServiceWorker { // a script cannot have what a module makes
		return binding.Mount{Value: workerd.KVValue(at.Service), Handler: n.Handler(worker)}, nil
	}
	return binding.Mount{
		Value: workerd.WrappedValue{Module: module.Name, Inner: []workerd.Binding{
			{Name: "namespace", Value: workerd.KVValue(at.Service)},
			{Name: "fetcher", Value: workerd.ServiceValue{Name: at.Service}},
		}},
		Modules: []workerd.ExtensionModule{module, ask.Module()},
		Handler: n.Handler(worker),
	}, nil
}

// namespace finds the namespace of a binding.
func (k *Kind) namespace(b config.Binding) (*Namespace, error) {
	id, err := namespaceID(b)
	if err != nil {
		return nil, err
	}
	n, err := k.store.Namespace(id)
	if errors.Is(err, ErrNamespaceNotFound) {
		return nil, fmt.Errorf("binding %s (kv_namespace): there is no KV namespace with id %q; create one with `wrangler kv namespace create %s` and use the id it prints, or this one with `selvage provision`", b.Name, id, b.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("binding %s (kv_namespace): %w", b.Name, err)
	}
	return n, nil
}

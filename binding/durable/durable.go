// Package durable is the Durable Object namespace binding. The objects
// themselves live in the Worker's cell, where workerd runs and stores them;
// this package only lets env reach their class.
//
// Source: https://developers.cloudflare.com/durable-objects/
package durable

import (
	"fmt"
	"slices"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// settings are the fields of the uploaded binding.
type settings struct {
	ClassName   string `json:"class_name"`
	ScriptName  string `json:"script_name"`
	Environment string `json:"environment"`
}

// Kind is the binding kind "durable_object_namespace".
type Kind struct{}

var (
	_ binding.Referrer = Kind{}
	_ binding.Filer    = Kind{}
)

// Kinds returns the kind.
func Kinds() []binding.Kind { return []binding.Kind{Kind{}} }

// Type implements binding.Kind.
func (Kind) Type() string { return "durable_object_namespace" }

// Validate implements binding.Kind.
func (Kind) Validate(b config.Binding) error {
	_, err := decode(b)
	return err
}

// Mount implements binding.Kind. A class of the Worker's own script must have
// been declared by a migration. Whether a class of another script exists is asked
// when one of its objects is called.
func (Kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	s, err := decode(b)
	if err != nil {
		return binding.Mount{}, err
	}
	if s.ScriptName != "" && s.ScriptName != at.Version.Worker {
		return binding.Mount{Peer: &binding.Peer{Worker: s.ScriptName}, Class: s.ClassName}, nil
	}
	if slices.Contains(at.Version.Lost, s.ClassName) {
		return binding.Mount{Peer: &binding.Peer{Worker: at.Version.Worker}, Class: s.ClassName}, nil
	}
	declared := slices.ContainsFunc(at.Version.Classes, func(c config.Class) bool { return c.Name == s.ClassName })
	if !declared {
		return binding.Mount{}, fmt.Errorf("binding %s: class %q of Worker %q is not configured to implement Durable Objects; "+
			"export it and add a migration to the Worker's configuration: [[migrations]] tag = \"v1\" new_sqlite_classes = [%q]",
			b.Name, s.ClassName, at.Version.Worker, s.ClassName)
	}
	return binding.Mount{Value: workerd.DurableValue{ClassName: s.ClassName}}, nil
}

// Refer implements binding.Referrer.
func (Kind) Refer(b config.Binding) []binding.Reference {
	s, err := decode(b)
	if err != nil {
		return nil
	}
	return []binding.Reference{{Peer: binding.Peer{Worker: s.ScriptName}, Class: s.ClassName}}
}

// Files implements binding.Filer. workerd writes them, into the folder that the
// engine gives each Worker's cell.
func (Kind) Files() binding.Files { return binding.Files{Folder: folder} }

// folder has a folder for each Worker.
const folder = "do"

// Quotas implements binding.Bounded. The engine measures the files, because
// workerd writes them.
func (Kind) Quotas() []binding.Quota {
	return []binding.Quota{
		{Key: "durable_object", Name: "largest Durable Object", Folders: []string{folder}, Suffix: ".sqlite", Of: binding.EachFile},
		{Key: "worker_durable_objects", Name: "largest Durable Objects of a Worker", Folders: []string{folder}, Suffix: ".sqlite", Of: binding.EachFolder},
		{Key: "durable_object_history", Name: "largest history of a Durable Object", Folders: []string{"do-history"}, Of: binding.EachFile},
	}
}

func decode(b config.Binding) (settings, error) {
	var s settings
	if err := b.Decode(&s); err != nil {
		return s, err
	}
	if s.ClassName == "" {
		return s, fmt.Errorf("binding %s: class_name must name an exported class", b.Name)
	}
	return s, nil
}

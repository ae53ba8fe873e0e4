package workflow

import (
	_ "embed"
	"fmt"
	"net/http"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/storage/budget"
)

//go:embed clone.js
var cloneSource string

//go:embed binding.js
var bindingSource string

//go:embed steps.js
var stepsSource string

// Kind is the binding "workflow". Its settings are
//
//	{"workflow_name": "<name>", "class_name": "<class>", "script_name": "<Worker, optional>"}
//
// As a trigger of a Worker, whose name is the Workflow's, its settings say what the
// Workflow is:
//
//	{"class_name": "<class>", "limits": {"steps": <number>}, "default_retention": {…}}
type Kind struct {
	store  *Store
	memory *budget.Budget
	dev    bool // status() tells what the steps have returned, too
}

// Kinds returns the kind, not open yet.
func Kinds() []binding.Kind { return []binding.Kind{&Kind{}} }

// Type implements binding.Kind.
func (*Kind) Type() string { return "workflow" }

type settings struct {
	Workflow string `json:"workflow_name"`
	Class    string `json:"class_name"`
	Script   string `json:"script_name"`
}

func decode(b config.Binding) (settings, error) {
	var s settings
	if err := b.Decode(&s); err != nil {
		return s, err
	}
	if err := checkName(s.Workflow); err != nil {
		return s, fmt.Errorf("binding %s (workflow): workflow_name: %w", b.Name, err)
	}
	if s.Class == "" {
		return s, fmt.Errorf("binding %s (workflow): class_name must name an exported class", b.Name)
	}
	return s, nil
}

// Validate implements binding.Kind.
func (*Kind) Validate(b config.Binding) error {
	_, err := decode(b)
	return err
}

// Mount implements binding.Kind. The Workflow need not exist: clients make it once
// the Worker with its class is deployed, and until then calls fail that need it.
func (k *Kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	s, err := decode(b)
	if err != nil {
		return binding.Mount{}, err
	}
	const module = "selvage:workflow"
	return binding.Mount{
		Value:   workerd.WrappedValue{Module: module, Inner: []workerd.Binding{{Name: "service", Value: workerd.ServiceValue{Name: at.Service}}}},
		Handler: service{k, s.Workflow, at.Version.Worker},
		Modules: []workerd.ExtensionModule{{Name: module, Internal: true, Source: cloneSource + bindingSource}},
	}, nil
}

// Class implements binding.Attendant: a class of the Worker's own.
func (*Kind) Class(worker string, b config.Binding) string {
	s, err := decode(b)
	if err != nil || s.Script != "" && s.Script != worker {
		return ""
	}
	return s.Class
}

// Attend implements binding.Attendant.
func (k *Kind) Attend() (module string, h http.Handler) {
	return cloneSource + stepsSource, runs{k.store}
}

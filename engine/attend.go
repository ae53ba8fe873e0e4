package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// attend gives the shim what the kinds of binding need that run classes of the
// Worker: their modules, and the classes. In a trial nothing is run, and whether the
// classes exist is told in better words than the runtime's.
func (e *Engine) attend(p *plan, v *config.Version, shim *workerd.Worker, trial bool) {
	var exports strings.Builder
	for _, kind := range e.attendants() {
		var classes []string
		if !trial {
			classes = attendedBy(kind, v)
		}
		if len(classes) == 0 {
			continue
		}
		source, h := kind.Attend()
		module := "attended-" + kind.Type() + ".js"
		fmt.Fprintf(&exports, "export { default as %s } from %q;\n", kind.Type(), "./"+module)
		shim.Modules = append(shim.Modules, workerd.Module{Name: module, Kind: workerd.ESModule, Data: []byte(source)})
		calls := "calls " + kind.Type()
		shim.Bindings = append(shim.Bindings, workerd.Binding{Name: calls, Value: workerd.ServiceValue{Name: p.serve(e, calls, h)}})
		for _, class := range classes {
			shim.Bindings = append(shim.Bindings, workerd.Binding{
				Name: "entrypoint " + class, Value: workerd.ServiceValue{Name: userService, Entrypoint: class},
			})
		}
	}
	shim.Modules = append(shim.Modules, workerd.Module{Name: "attended.js", Kind: workerd.ESModule, Data: []byte(exports.String())})
}

// attendants are the kinds that run classes, in the order of their types.
func (e *Engine) attendants() (list []binding.Attendant) {
	for _, kind := range e.kinds {
		if a, ok := kind.(binding.Attendant); ok {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b binding.Attendant) int { return strings.Compare(a.Type(), b.Type()) })
	return list
}

// attendedBy lists the classes of a version that a kind runs.
func attendedBy(kind binding.Attendant, v *config.Version) (classes []string) {
	for _, b := range v.Bindings {
		if b.Type != kind.Type() {
			continue
		}
		if class := kind.Class(v.Worker, b); class != "" && !slices.Contains(classes, class) {
			classes = append(classes, class)
		}
	}
	return classes
}

// attendedClasses lists the classes of a version that any kind runs.
func (e *Engine) attendedClasses(v *config.Version) (classes []string) {
	for _, kind := range e.attendants() {
		classes = append(classes, attendedBy(kind, v)...)
	}
	return classes
}

// notExported says that a version lacks a class that a kind would run.
func notExported(class string, v *config.Version) string {
	return fmt.Sprintf("Workflow class %q is not exported by the script: export a class of that name from %s that extends WorkflowEntrypoint", class, v.MainModule)
}

// absentClass reads workerd's message about such a class.
func absentClass(message string) (class string, ok bool) {
	m := absentClassMessage.FindStringSubmatch(message)
	if m == nil {
		return "", false
	}
	return m[1], true
}

var absentClassMessage = regexp.MustCompile(`(?s)^Worker "shim"'s binding "entrypoint (.*?)" refers to service "user" with a named entrypoint`)

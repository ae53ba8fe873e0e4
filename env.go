package selvage

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/platform"
)

// field is a field of an environment that is a binding.
type field struct {
	path     string // "Env.Sessions"
	binding  string
	optional bool
	to       any // a pointer to the field
	typ      reflect.Type
}

// fieldsOf finds the bindings of the struct that env points to, in embedded
// structs, too.
func fieldsOf(env any) ([]field, error) {
	v := reflect.ValueOf(env).Elem()
	if v.Kind() != reflect.Struct {
		return nil, fmt.Errorf("its environment is a %s; it must be a struct", v.Type())
	}
	return appendFields(nil, v.Type().Name(), v)
}

func appendFields(list []field, path string, v reflect.Value) (_ []field, err error) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag, ok := f.Tag.Lookup("binding")
		if !ok {
			if f.Anonymous && f.Type.Kind() == reflect.Struct {
				if list, err = appendFields(list, path, v.Field(i)); err != nil {
					return nil, err
				}
			}
			continue
		}
		at := strings.TrimPrefix(path+"."+f.Name, ".")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case name == "":
			return nil, fmt.Errorf("%s: its tag names no binding: write `binding:\"NAME\"`", at)
		case options != "" && options != "optional":
			return nil, fmt.Errorf("%s: unknown option %q in its binding tag: there is only \"optional\"", at, options)
		case !f.IsExported():
			return nil, fmt.Errorf("%s: a field with a binding must be exported", at)
		}
		list = append(list, field{path: at, binding: name, optional: options == "optional", to: v.Field(i).Addr().Interface(), typ: f.Type})
	}
	return list, nil
}

// resolve adds what fields imply to the bindings that were configured, and says
// which are missing.
func resolve(fields []field, configured []config.Binding) (all []config.Binding, missing []error) {
	all = slices.Clone(configured)
	for _, f := range fields {
		if slices.ContainsFunc(all, func(b config.Binding) bool { return b.Name == f.binding }) {
			continue
		}
		if b, ok := platform.Imply(f.binding, f.to); ok {
			all = append(all, b)
			continue
		}
		if !f.optional {
			missing = append(missing, fmt.Errorf("%s (%s): there is no binding %q; add it to the Worker's options%s", f.path, f.typ, f.binding, hint(f)))
		}
	}
	return all, missing
}

// hint names the option that a field's type suggests.
func hint(f field) string {
	switch f.typ.String() {
	case "service.Service", "*http.Client", "http.RoundTripper":
		return fmt.Sprintf(": WithService(%q, \"worker\")", f.binding)
	case "durable.Namespace":
		return fmt.Sprintf(": WithDurable(%q, \"worker\", \"Class\")", f.binding)
	case "*ratelimit.Limiter":
		return fmt.Sprintf(": WithRateLimit(%q, \"1001\", 100, time.Minute)", f.binding)
	case "*workflow.Workflow":
		return fmt.Sprintf(": WithWorkflow(%q, \"flow\", \"worker\", \"Class\")", f.binding)
	case "vars.Secret":
		return fmt.Sprintf(": WithSecret(%q, os.Getenv(%q))", f.binding, f.binding)
	case "http.Handler":
		return fmt.Sprintf(": WithAssets(%q, …)", f.binding)
	case "string":
		return fmt.Sprintf(": WithVar(%q, \"…\")", f.binding)
	}
	return ""
}

// set gives the fields their values.
func set(fields []field, v *config.Version, host *platform.Platform) (problems []error) {
	for _, f := range fields {
		i := slices.IndexFunc(v.Bindings, func(b config.Binding) bool { return b.Name == f.binding })
		if i < 0 {
			continue // missing: said already, or optional
		}
		err := host.Bind(v, v.Bindings[i], f.to)
		var wrong *binding.TypeError
		switch {
		case errors.As(err, &wrong):
			problems = append(problems, fmt.Errorf("%s (%s): the binding %q is of type %s, which %w", f.path, f.typ, f.binding, v.Bindings[i].Type, err))
		case err != nil:
			problems = append(problems, fmt.Errorf("%s (%s): binding %q: %w", f.path, f.typ, f.binding, err))
		}
	}
	return problems
}

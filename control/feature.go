package control

import (
	"encoding/json"
	"fmt"
)

// feature is what a key of an upload's metadata asks for and does not run here.
type feature struct {
	key, product string
	// spared: the Worker does all its work without. Otherwise the upload is
	// refused, because clients do not show the warnings of an upload that
	// succeeds.
	spared bool
}

// features are in the order in which they are told. Keys of which nothing is
// missed here are not among them: placement in the one place that there is,
// package_dependencies, code_update_strategy.
var features = []feature{
	{key: "containers", product: "Containers"},
	{key: "tail_consumers", product: "Tail Workers"},
	{key: "streaming_tail_consumers", product: "Streaming Tail Workers"},
	{key: "logpush", product: "Workers Logpush"},
	{key: "capnp_schema", product: "Cap'n Proto schemas"},
	{key: "exports", product: "declarative exports"},
	{key: "cache_options", product: "caching in front of Workers", spared: true},
}

// asked are the keys of metadata that a feature may be asked by.
type asked map[string]json.RawMessage

// check refuses what the Worker would miss and warns of the rest.
func (a asked) check() (warnings []string, err error) {
	for _, f := range features {
		if !wants(a[f.key]) {
			continue
		}
		switch {
		case f.spared:
			warnings = append(warnings, fmt.Sprintf("this version of Selvage does not run %s (%s) yet; the Worker runs without", f.product, f.key))
		case f.key == "exports":
			return nil, badRequest(100402, "this version of Selvage does not run %s (%s) yet; use migrations in the Worker's configuration", f.product, f.key)
		default:
			return nil, refused("this version of Selvage does not run %s (%s) yet; remove %[2]s from the Worker's configuration to deploy it", f.product, f.key)
		}
	}
	return warnings, nil
}

// wants reports whether a value asks for something: not null, false, or empty.
func wants(value json.RawMessage) bool {
	var v any
	if json.Unmarshal(value, &v) != nil {
		return false // absent; the whole has been parsed
	}
	return asks(v)
}

func asks(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		for _, member := range v {
			if asks(member) {
				return true
			}
		}
		return false
	}
	return true
}

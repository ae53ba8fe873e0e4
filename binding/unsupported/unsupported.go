// Package unsupported holds the binding types that Cloudflare's API knows and
// Selvage does not run yet. A Worker with such a binding starts under `selvage
// dev`, with a warning, and gets an error that names the feature when it uses
// the binding; an upload that names one is refused with [Reason].
//
// A type leaves this list the day its own package exists.
package unsupported

import (
	"fmt"
	"maps"
	"slices"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

// nouns says what a binding of a type is, with its article.
var nouns = map[string]string{
	"agent_memory":         "an Agent Memory",
	"ai":                   "a Workers AI",
	"ai_search":            "an AI Search",
	"ai_search_namespace":  "an AI Search namespace",
	"analytics":            "an analytics",
	"analytics_engine":     "an Analytics Engine",
	"artifacts":            "an Artifacts",
	"browser":              "a Browser Rendering",
	"dispatch_namespace":   "a dispatch namespace",
	"flagship":             "a Flagship",
	"hyperdrive":           "a Hyperdrive",
	"images":               "an Images",
	"k2":                   "a K2",
	"logfwdr":              "a logfwdr",
	"media":                "a Media Transformations",
	"mtls_certificate":     "an mTLS certificate",
	"pipelines":            "a Pipelines",
	"queue":                "a queue",
	"r2_bucket":            "an R2 bucket",
	"secrets_store_secret": "a Secrets Store",
	"send_email":           "a send email",
	"stream":               "a Stream",
	"vectorize":            "a Vectorize",
	"vpc_network":          "a VPC network",
	"vpc_service":          "a VPC service",
	"worker_loader":        "a Worker Loader",
	"workflow":             "a workflow",
}

// Types lists the types in alphabetical order.
func Types() []string { return slices.Sorted(maps.Keys(nouns)) }

// Kinds gives a kind for each type.
func Kinds() []binding.Kind {
	kinds := make([]binding.Kind, 0, len(nouns))
	for _, t := range Types() {
		kinds = append(kinds, kind(t))
	}
	return kinds
}

// Reason says why an upload with a binding of this type is refused, and is
// empty for a type that is not in the list.
func Reason(typ string) string {
	noun, ok := nouns[typ]
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s binding (%s) needs a feature that this version of Selvage does not run yet; remove the binding to deploy the Worker", noun, typ)
}

type kind string

var _ binding.Kind = kind("")

func (k kind) Type() string { return string(k) }

// Validate accepts everything: the settings of a feature that does not exist
// cannot be wrong.
func (kind) Validate(config.Binding) error { return nil }

func (k kind) Mount(b config.Binding, _ binding.Site) (binding.Mount, error) {
	what := fmt.Sprintf("env.%s is %s binding (%s), which this version of Selvage does not run yet", b.Name, nouns[string(k)], k)
	return binding.Missing(what+".", what+": using it throws an error"), nil
}

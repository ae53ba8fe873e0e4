// Package unsupported holds the binding types that Cloudflare's API knows and
// Selvage does not run yet. A Worker with such a binding starts under `selvage
// dev`, with a warning, and gets an error that names the feature when it uses
// the binding; an upload that names one is refused.
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

// feature is what a type of binding needs.
type feature struct {
	// noun says what the binding is, with its article.
	noun string
	// product and paths are what kind.Absent tells. No paths: Cloudflare's API
	// manages no such thing, or another type has them.
	product string
	paths   []string
}

var features = map[string]feature{
	"agent_memory":         {noun: "an Agent Memory"},
	"ai":                   {"a Workers AI", "Workers AI", []string{"ai"}},
	"ai_search":            {"an AI Search", "AI Search", []string{"ai-search"}},
	"ai_search_namespace":  {noun: "an AI Search namespace"},
	"analytics":            {noun: "an analytics"},
	"analytics_engine":     {noun: "an Analytics Engine"},
	"artifacts":            {noun: "an Artifacts"},
	"browser":              {"a Browser Rendering", "Browser Rendering", []string{"browser-rendering"}},
	"dispatch_namespace":   {"a dispatch namespace", "Workers for Platforms", []string{"workers/dispatch"}},
	"flagship":             {noun: "a Flagship"},
	"hyperdrive":           {"a Hyperdrive", "Hyperdrive", []string{"hyperdrive"}},
	"images":               {noun: "an Images"},
	"k2":                   {noun: "a K2"},
	"logfwdr":              {noun: "a logfwdr"},
	"media":                {noun: "a Media Transformations"},
	"mtls_certificate":     {"an mTLS certificate", "mTLS certificates", []string{"mtls_certificates"}},
	"pipelines":            {"a Pipelines", "Pipelines", []string{"pipelines"}},
	"queue":                {"a queue", "Queues", []string{"queues", "event_subscriptions"}},
	"r2_bucket":            {"an R2 bucket", "R2", []string{"r2", "event_notifications"}},
	"secrets_store_secret": {"a Secrets Store", "Secrets Store", []string{"secrets_store"}},
	"send_email":           {"a send email", "Email Routing", []string{"email"}},
	"stream":               {noun: "a Stream"},
	"vectorize":            {"a Vectorize", "Vectorize", []string{"vectorize"}},
	"vpc_network":          {"a VPC network", "Workers VPC", []string{"connectivity"}},
	"vpc_service":          {noun: "a VPC service"},
	"worker_loader":        {noun: "a Worker Loader"},
	"workflow":             {"a workflow", "Workflows", []string{"workflows"}},
}

// Types lists the types in alphabetical order.
func Types() []string { return slices.Sorted(maps.Keys(features)) }

// Kinds gives a kind for each type.
func Kinds() []binding.Kind {
	kinds := make([]binding.Kind, 0, len(features))
	for _, t := range Types() {
		kinds = append(kinds, kind(t))
	}
	return kinds
}

type kind string

var (
	_ binding.Deployer = kind("")
	_ binding.Absentee = kind("")
)

func (k kind) Type() string { return string(k) }

// Validate accepts everything: the settings of a feature that does not exist
// cannot be wrong.
func (kind) Validate(config.Binding) error { return nil }

func (k kind) Mount(b config.Binding, _ binding.Site) (binding.Mount, error) {
	what := fmt.Sprintf("env.%s is %s binding (%s), which this version of Selvage does not run yet", b.Name, features[string(k)].noun, k)
	return binding.Missing(what+".", what+": using it throws an error"), nil
}

// Deployable implements binding.Deployer: no Worker may.
func (k kind) Deployable(_ string, b config.Binding) error {
	return fmt.Errorf("binding %s: %s binding (%s) needs a feature that this version of Selvage does not run yet; remove the binding to deploy the Worker",
		b.Name, features[string(k)].noun, k)
}

// Absent implements binding.Absentee.
func (k kind) Absent() (product string, paths []string) {
	f := features[string(k)]
	return f.product, f.paths
}

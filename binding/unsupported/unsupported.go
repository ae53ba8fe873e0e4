// Package unsupported holds the binding types that Cloudflare's API knows and
// Selvage does not run yet. A Worker with such a binding starts under `selvage
// dev`, with a warning, and gets an error that names the feature when it uses
// the binding. An upload that names one is refused if the binding leads to a
// resource that somebody has made or expects the deployment to make. A binding
// to a service that is just there is accepted with the same warning: frameworks
// add one to every Worker, and most never use it.
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
	// spared: the binding names no resource.
	spared bool
}

var features = map[string]feature{
	"agent_memory":         {noun: "an Agent Memory", product: "Agent Memory", paths: []string{"agent-memory"}},
	"ai":                   {noun: "a Workers AI", product: "Workers AI", paths: []string{"ai"}, spared: true},
	"ai_search":            {noun: "an AI Search", product: "AI Search", paths: []string{"ai-search"}},
	"ai_search_namespace":  {noun: "an AI Search namespace"},
	"analytics":            {noun: "an analytics", spared: true},
	"artifacts":            {noun: "an Artifacts", product: "Artifacts", paths: []string{"artifacts"}},
	"browser":              {noun: "a Browser Rendering", product: "Browser Rendering", paths: []string{"browser-rendering"}, spared: true},
	"dispatch_namespace":   {noun: "a dispatch namespace", product: "Workers for Platforms", paths: []string{"workers/dispatch"}},
	"flagship":             {noun: "a Flagship", product: "Flagship", paths: []string{"flagship"}},
	"hyperdrive":           {noun: "a Hyperdrive", product: "Hyperdrive", paths: []string{"hyperdrive"}},
	"images":               {noun: "an Images", product: "Images", paths: []string{"images"}, spared: true},
	"k2":                   {noun: "a K2", product: "K2", paths: []string{"k2"}},
	"logfwdr":              {noun: "a logfwdr"},
	"media":                {noun: "a Media Transformations", spared: true},
	"mtls_certificate":     {noun: "an mTLS certificate", product: "mTLS certificates", paths: []string{"mtls_certificates"}},
	"pipelines":            {noun: "a Pipelines", product: "Pipelines", paths: []string{"pipelines"}},
	"secrets_store_secret": {noun: "a Secrets Store", product: "Secrets Store", paths: []string{"secrets_store"}},
	"stream":               {noun: "a Stream", product: "Stream", paths: []string{"stream"}, spared: true},
	"unsafe_hello_world":   {noun: "a hello world", spared: true},
	"vectorize":            {noun: "a Vectorize", product: "Vectorize", paths: []string{"vectorize"}},
	"vpc_network":          {noun: "a VPC network", product: "Workers VPC", paths: []string{"connectivity"}},
	"vpc_service":          {noun: "a VPC service"},
	"worker_loader":        {noun: "a Worker Loader", spared: true},
}

// Types lists the types in alphabetical order.
func Types() []string { return slices.Sorted(maps.Keys(features)) }

// Kinds gives a kind for each type.
func Kinds() []binding.Kind {
	kinds := make([]binding.Kind, 0, len(features))
	for _, t := range Types() {
		if features[t].spared {
			kinds = append(kinds, kind(t))
		} else {
			kinds = append(kinds, refused{kind(t)})
		}
	}
	return kinds
}

type kind string

// refused is a kind that no Worker may be deployed with.
type refused struct{ kind }

var (
	_ binding.Deployer = refused{}
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

// Deployable implements binding.Deployer.
func (k refused) Deployable(_ string, b config.Binding) error {
	return fmt.Errorf("binding %s: %s binding (%s) needs a feature that this version of Selvage does not run yet; remove the binding to deploy the Worker",
		b.Name, features[string(k.kind)].noun, k.kind)
}

// Absent implements binding.Absentee.
func (k kind) Absent() (product string, paths []string) {
	f := features[string(k)]
	return f.product, f.paths
}

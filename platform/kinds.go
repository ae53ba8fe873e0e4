package platform

import (
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/analytics"
	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/binding/durable"
	"github.com/selvage-edge/selvage/binding/email"
	"github.com/selvage-edge/selvage/binding/kv"
	"github.com/selvage-edge/selvage/binding/queue"
	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/binding/ratelimit"
	"github.com/selvage-edge/selvage/binding/service"
	"github.com/selvage-edge/selvage/binding/unsupported"
	"github.com/selvage-edge/selvage/binding/vars"
	"github.com/selvage-edge/selvage/binding/workflow"
)

// products lists every product with a kind of binding, in the order of opening.
var products = []func() []binding.Kind{
	vars.Kinds,
	kv.Kinds,
	d1.Kinds,
	ratelimit.Kinds,
	email.Kinds,
	assets.Kinds,
	service.Kinds,
	durable.Kinds,
	queue.Kinds,
	r2.Kinds,
	analytics.Kinds,
	workflow.Kinds,
	unsupported.Kinds,
}

// Quotas lists every bound on what is stored: those of the kinds and those of the
// control plane.
func Quotas() []binding.Quota {
	var list []binding.Quota
	for _, k := range Kinds() {
		if b, ok := k.(binding.Bounded); ok {
			list = append(list, b.Quotas()...)
		}
	}
	return append(list,
		binding.Quota{Key: "code", Name: "code and static files", Folders: []string{blobFolder + "/control"}},
		binding.Quota{Key: "worker_code", Name: "largest code of a Worker", Ask: "/local/code"})
}

// Kinds returns every kind of binding, none of them open: see binding.Opener for
// what they can be asked.
func Kinds() []binding.Kind {
	var kinds []binding.Kind
	for _, product := range products {
		kinds = append(kinds, product()...)
	}
	return kinds
}

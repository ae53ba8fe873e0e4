package platform

import (
	"slices"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/binding/durable"
	"github.com/selvage-edge/selvage/binding/kv"
	"github.com/selvage-edge/selvage/binding/ratelimit"
	"github.com/selvage-edge/selvage/binding/service"
	"github.com/selvage-edge/selvage/binding/unsupported"
	"github.com/selvage-edge/selvage/binding/vars"
)

// kinds lists every kind of binding. With createMissing, KV namespaces and D1
// databases come into being when a Worker that names them starts.
func (s *Stores) kinds(createMissing bool) []binding.Kind {
	return slices.Concat(
		vars.Kinds(),
		[]binding.Kind{
			&kv.Kind{Store: s.KV, CreateMissing: createMissing},
			d1.NewKind(s.D1, createMissing),
			ratelimit.NewKind(s.Limits),
			assets.Kind{},
			service.Kind{},
			durable.Kind{},
		},
		unsupported.Kinds(),
	)
}

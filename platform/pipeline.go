package platform

import (
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/edge/compress"
)

// pipeline lists the stages that a request goes through before its Worker, in
// order. The order is Cloudflare's: connection limits, firewall, rate limits,
// access, rewrites, cache. o.Stages are the stages of whoever embeds the
// platform. Who has hosts of its own answers in the place of the Workers, behind
// everything else; who takes requests as they are comes first.
func pipeline(o Options, list hosts) []edge.Stage {
	stages := []edge.Stage{hosted{list, true}}
	if !o.NoCompression {
		// A response passes the stages upwards, and whoever looks into its body or
		// keeps it wants the original: compression comes last, so it is first here.
		stages = append(stages, compress.New(compress.Options{}))
	}
	return append(append(stages, o.Stages...), hosted{list, false})
}

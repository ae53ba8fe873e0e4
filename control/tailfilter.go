package control

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/telemetry"
)

// filters choose the events of a tail; all of them must match. Each has one
// field set.
type filters []filter

type filter struct {
	SamplingRate *float64 `json:"sampling_rate"`
	// Outcome and Method match any of the list.
	Outcome []string      `json:"outcome"`
	Method  []string      `json:"method"`
	Header  *headerFilter `json:"header"`
	// ClientIP are addresses, or "self" for whoever started the tail.
	ClientIP []string `json:"client_ip"`
	// Query is searched for in console messages.
	Query         string `json:"query"`
	ScriptVersion string `json:"scriptVersion"`
}

type headerFilter struct {
	Key string `json:"key"`
	// Query is searched for in the header's value; empty matches any value.
	Query string `json:"query"`
}

// check validates the filters and puts the client's address in place of "self".
func (f filters) check(self netip.Addr) error {
	for _, x := range f {
		if x.SamplingRate != nil && !(*x.SamplingRate > 0 && *x.SamplingRate <= 1) {
			return badRequest(10001, "the sampling rate of a tail must be over 0 and at most 1, not %g", *x.SamplingRate)
		}
		if x.Header != nil && x.Header.Key == "" {
			return badRequest(10001, "the header filter of a tail must name a header")
		}
		for i, ip := range x.ClientIP {
			if ip == "self" {
				x.ClientIP[i] = self.String()
				continue
			}
			a, err := netip.ParseAddr(ip)
			if err != nil {
				return badRequest(10001, "the client_ip filter of a tail must be IP addresses or \"self\", not %q", ip)
			}
			x.ClientIP[i] = a.Unmap().String()
		}
	}
	return nil
}

func (f filters) match(i *telemetry.Invocation) bool {
	if len(f) == 0 {
		return true
	}
	var event struct {
		Request struct {
			Method  string            `json:"method"`
			Headers map[string]string `json:"headers"`
		} `json:"request"`
	}
	if len(i.Event) > 0 {
		_ = json.Unmarshal(i.Event, &event) // an event of another kind has no request: filters on one do not match
	}
	for _, x := range f {
		if x.SamplingRate != nil && rand.Float64() >= *x.SamplingRate {
			return false
		}
		if len(x.Outcome) > 0 && !slices.Contains(x.Outcome, i.Outcome) {
			return false
		}
		if len(x.Method) > 0 && !slices.ContainsFunc(x.Method, func(m string) bool { return strings.EqualFold(m, event.Request.Method) }) {
			return false
		}
		if x.Header != nil {
			value, ok := header(event.Request.Headers, x.Header.Key)
			if !ok || !strings.Contains(value, x.Header.Query) {
				return false
			}
		}
		if len(x.ClientIP) > 0 {
			value, _ := header(event.Request.Headers, "cf-connecting-ip")
			a, err := netip.ParseAddr(value)
			if err != nil || !slices.Contains(x.ClientIP, a.Unmap().String()) {
				return false
			}
		}
		if x.Query != "" && !slices.ContainsFunc(i.Logs, func(l telemetry.Log) bool { return strings.Contains(string(l.Message), x.Query) }) {
			return false
		}
		if x.ScriptVersion != "" && (i.ScriptVersion == nil || i.ScriptVersion.ID != x.ScriptVersion) {
			return false
		}
	}
	return true
}

func header(headers map[string]string, name string) (string, bool) {
	for k, v := range headers {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return "", false
}

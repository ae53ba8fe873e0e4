package manifest

import (
	"fmt"

	"github.com/selvage-edge/selvage/config"
)

// consumerNumbers are the numbers of an entry of queues.consumers: what they are
// called by the REST API, in whose units times are, and their limits.
//
// Source: https://developers.cloudflare.com/workers/wrangler/configuration/#queues
var consumerNumbers = []struct {
	key, to   string
	factor    float64
	low, high float64
	expected  string
}{
	{"max_batch_size", "batch_size", 1, 1, 100, "a whole number from 1 to 100"},
	{"max_batch_timeout", "max_wait_time_ms", 1000, 0, 60, "0 to 60 (seconds)"},
	{"max_retries", "max_retries", 1, 0, 100, "a whole number from 0 to 100"},
	{"max_concurrency", "max_concurrency", 1, 1, 250, "a whole number from 1 to 250"},
	{"retry_delay", "retry_delay", 1, 0, 86_400, "a whole number from 0 to 86400 (seconds)"},
	{"visibility_timeout_ms", "visibility_timeout_ms", 1, 1, 43_200_000, "a whole number from 1 to 43200000 (ms)"},
}

// loadConsumers makes triggers of queues.consumers.
func (l *loader) loadConsumers() {
	n, path := l.get("queues")
	if n = n.get("consumers"); n == nil {
		return
	}
	seen := map[string]bool{}
	for i, item := range n.items {
		at := fmt.Sprintf("%s.consumers[%d]", path, i)
		name := item.get("queue").str()
		if seen[name] {
			l.errorf(item, at, "the queue %q has a consumer already; it can have one", name)
			continue
		}
		seen[name] = true
		trigger := map[string]any{}
		switch t := item.get("type"); t.str() {
		case "", "worker":
		case "http_pull":
			trigger["http_pull"] = true
		default:
			l.mismatch(t, at+".type", `"worker" or "http_pull"`)
			continue
		}
		if dead := item.get("dead_letter_queue").str(); dead != "" {
			trigger["dead_letter_queue"] = dead
		}
		settings, ok := l.consumerSettings(item, at)
		if !ok {
			continue
		}
		trigger["settings"] = settings
		made, err := config.NewBinding(name, "queue", trigger)
		if err != nil {
			l.errorf(item, at, "%v", err)
			continue
		}
		l.m.Triggers = append(l.m.Triggers, made)
	}
}

func (l *loader) consumerSettings(item *node, at string) (settings map[string]int, ok bool) {
	settings, ok = map[string]int{}, true
	for _, f := range consumerNumbers {
		n := item.get(f.key)
		if n == nil || n.kind == isNull {
			continue
		}
		var v float64
		n.decode(&v)
		if whole := int(v * f.factor); v < f.low || v > f.high || float64(whole) != v*f.factor {
			l.mismatch(n, at+"."+f.key, f.expected)
			ok = false
		} else {
			settings[f.to] = whole
		}
	}
	return settings, ok
}

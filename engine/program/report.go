package program

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/hop/target"
	"github.com/selvage-edge/selvage/telemetry"
)

// report tells of the run as a tail event.
func (r *run) report() {
	event, _ := json.Marshal(r.event)
	if r.response != nil {
		if fields, ok := r.event.(map[string]any); ok {
			fields["response"] = r.response
			event, _ = json.Marshal(fields)
		}
	}
	outcome := r.outcome()
	r.mu.Lock()
	i := telemetry.Invocation{
		ScriptName:    r.Worker,
		ScriptVersion: &telemetry.ScriptVersion{ID: r.Version.ID, Tag: r.Version.Tag, Message: r.Version.Message},
		Outcome:       outcome, Event: event, Ray: r.ray(), EventTimestamp: r.start.UnixMilli(),
		Logs: slices.Clone(r.logs), Exceptions: slices.Clone(r.exceptions), ExecutionModel: "stateless",
		Truncated: r.logBytes > telemetry.MaxLogBytes, WallTime: float64(time.Since(r.start).Microseconds()) / 1000,
	}
	r.mu.Unlock()
	if i.Logs == nil {
		i.Logs = []telemetry.Log{}
	}
	if i.Exceptions == nil {
		i.Exceptions = []telemetry.Exception{}
	}
	r.p.o.Invocations(i)
}

// ray is the Ray ID of the request, or the id of the event.
func (r *run) ray() string {
	if record := telemetry.RequestFrom(r.ctx); record != nil {
		return record.Ray
	}
	return ""
}

// fetchEvent is the event of a request in tail events. Headers that carry
// credentials are hidden, as Cloudflare does.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/handlers/tail/
func fetchEvent(r *http.Request) any {
	headers := map[string]string{}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		headers[name] = strings.Join(values, ", ")
		for _, word := range []string{"auth", "key", "secret", "token", "jwt", "cookie"} {
			if strings.Contains(name, word) {
				headers[name] = "REDACTED"
			}
		}
	}
	scheme, cf := "http", json.RawMessage(nil)
	if record := telemetry.RequestFrom(r.Context()); record != nil {
		scheme, cf = record.Scheme, record.CF
	}
	request := map[string]any{"url": scheme + "://" + r.Host + target.URI(r.URL), "method": r.Method, "headers": headers}
	if len(cf) > 0 {
		request["cf"] = cf
	}
	return map[string]any{"request": request}
}

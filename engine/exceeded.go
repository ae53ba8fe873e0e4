package engine

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/hop/target"
	"github.com/selvage-edge/selvage/telemetry"
)

// reportExceeded tells those who watch the Worker of a request that ended with
// its cell, which was stopped for what it used: the cell cannot tell any more.
func (c *cell) reportExceeded(r *http.Request, begin time.Time) {
	if !c.looked.Load() && !c.pool.w.e.o.Exceptions {
		return
	}
	outcome, message := "", ""
	switch f := c.verdict.Load(); {
	case f == cpuExceeded:
		outcome, message = "exceededCpu", "Worker exceeded CPU time limit."
	case f == memoryExceeded, c.exceededMemory():
		outcome, message = "exceededMemory", "Worker exceeded memory limit."
	default:
		return
	}
	v, scheme := c.version, "http"
	if c.pool.w.e.o.Exceptions {
		c.pool.w.e.o.Lines(telemetry.Line{
			Time: time.Now(), Worker: v.Worker, Version: v.ID, Ray: rayOf(r.Header), Level: "error", Message: "Uncaught Error: " + message, Runtime: true,
		})
	}
	if !c.looked.Load() {
		return
	}
	var cf json.RawMessage
	if record := telemetry.RequestFrom(r.Context()); record != nil {
		scheme, cf = record.Scheme, record.CF
	}
	headers := map[string]string{}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = redact(name, strings.Join(values, ", "))
	}
	event, err := json.Marshal(map[string]any{"request": map[string]any{
		"url": scheme + "://" + r.Host + target.URI(r.URL), "method": r.Method, "headers": headers, "cf": cf,
	}})
	if err != nil {
		return
	}
	now := time.Now()
	c.pool.w.e.o.Invocations(telemetry.Invocation{
		ScriptName: v.Worker, ScriptVersion: &telemetry.ScriptVersion{ID: v.ID, Tag: v.Tag, Message: v.Message},
		Outcome: outcome, Event: event, EventTimestamp: begin.UnixMilli(), ExecutionModel: "stateless",
		Logs:       []telemetry.Log{},
		Exceptions: []telemetry.Exception{{Timestamp: now.UnixMilli(), Name: "Error", Message: message}},
		WallTime:   float64(now.Sub(begin).Milliseconds()),
	})
}

// redact hides the values of the headers that tail events never show.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/handlers/tail/
func redact(name, value string) string {
	name = strings.ToLower(name)
	for _, part := range []string{"auth", "key", "secret", "token", "jwt"} {
		if strings.Contains(name, part) {
			return "REDACTED"
		}
	}
	if name == "cookie" || name == "set-cookie" {
		return "REDACTED"
	}
	return value
}

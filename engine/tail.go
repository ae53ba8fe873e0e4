package engine

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/telemetry"
)

//go:embed tail.js
var tailSource string

// maxTailBytes bounds one report of tail events. tail.js collects a megabyte,
// or what one invocation has.
const maxTailBytes = 16 << 20

// tail is the tail Worker of a cell of v. looking: it reports from the start.
func (e *Engine) tail(p *plan, v *config.Version, looking bool) workerd.Service {
	sink := p.serve(e, "tail sink", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTailBytes))
		if err != nil {
			return
		}
		var events []telemetry.Invocation
		if err := json.Unmarshal(body, &events); err != nil {
			e.o.Logger.Error("tail events are not readable", "worker", v.Worker, "err", err)
			return
		}
		for _, i := range events {
			if p.further && i.ExecutionModel == "durableObject" {
				continue // the object's own cell tells of it
			}
			i.ScriptName = v.Worker
			i.Logs, i.Ray = p.mark.logs(i.Logs)
			if event, id := p.mark.untag(i.Event); id != "" {
				i.Event, i.Ray = event, id
			}
			i.ScriptVersion = &telemetry.ScriptVersion{ID: v.ID, Tag: v.Tag, Message: v.Message}
			for n := range i.Exceptions {
				i.Exceptions[n].Stack = e.o.MapStack(v, withoutOwnFrames(i.Exceptions[n].Stack))
			}
			e.o.Invocations(i)
		}
	}))
	return workerd.Service{Name: tailService, Worker: &workerd.Worker{
		Modules:           []workerd.Module{{Name: "tail.js", Kind: workerd.ESModule, Data: fmt.Appendf(nil, "let looking = %t;\n%s", looking, tailSource)}},
		CompatibilityDate: shimDate,
		Bindings:          []workerd.Binding{{Name: "SINK", Value: workerd.ServiceValue{Name: sink}}},
		GlobalOutbound:    egressService,
	}}
}

package workflow

import (
	"bytes"
	"time"

	"github.com/selvage-edge/selvage/binding"
)

// runLimit bounds the wall time of a run. A run that waits ends long before; a
// step's own timeout, ten minutes unless it says otherwise, is what ends others.
const runLimit = 30 * 24 * time.Hour

// eventDescription is what tail events say of a run.
type eventDescription struct {
	Workflow string `json:"workflowName"`
	Instance string `json:"instanceId"`
}

// event makes the event that has the Worker run the function of a class. Locked.
func (r *run) event(class string, params Value) binding.Event {
	in := r.in
	about := eventDescription{in.w.name, in.rec.ID}
	g := &goRun{store: in.w.store, token: r.token, event: Event{about.Workflow, class, about.Instance, params, time.UnixMilli(in.rec.Created), nil}}
	head := map[string]any{"class": class, "token": r.token, "workflow": about.Workflow, "instance": about.Instance, "timestamp": in.rec.Created}
	if in.rec.Cron != "" {
		g.event.Schedule = &Schedule{in.rec.Cron, time.UnixMilli(in.rec.Scheduled).UTC()}
		head["schedule"] = map[string]any{"cron": in.rec.Cron, "scheduledTime": in.rec.Scheduled}
	}
	if in.rec.Rollback != nil {
		g.rolling, g.undo = true, r.undo()
		head["undo"] = g.undo
	}
	return binding.Event{
		Type:  "workflow",
		Limit: runLimit,
		Head:  head,
		Body:  bytes.NewReader(params), Size: int64(len(params)),
		Info: about,
		Call: g.call, Answer: g.answer,
	}
}

// runResult is what a Worker says of a run. In JavaScript the output is the body of
// the outcome.
type runResult struct {
	// Status is "complete", "errored", or "ended" for a run that is over.
	Status  string   `json:"status"`
	Failure *Failure `json:"failure,omitempty"`
	Output  Value    `json:"output,omitempty"`
}

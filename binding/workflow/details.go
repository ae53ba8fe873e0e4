package workflow

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/selvage-edge/selvage/api"
)

// instanceReply is all that the API tells of an instance.
type instanceReply struct {
	Status    Status            `json:"status"`
	Params    json.RawMessage   `json:"params"`
	Trigger   map[string]string `json:"trigger"`
	Version   string            `json:"versionId"`
	Queued    *time.Time        `json:"queued"`
	Start     *time.Time        `json:"start"`
	End       *time.Time        `json:"end"`
	Steps     []any             `json:"steps"`
	StepCount int               `json:"step_count"`
	// Success is null until it has ended.
	Success  *bool           `json:"success"`
	Error    *Failure        `json:"error"`
	Output   json.RawMessage `json:"output"`
	Rollback *rollbackReply  `json:"rollback"`
}

// rollbackReply is what the rollback of an instance has come to.
type rollbackReply struct {
	Outcome string   `json:"outcome"`
	Error   *Failure `json:"error"`
}

type attemptReply struct {
	Start   *time.Time `json:"start"`
	End     *time.Time `json:"end"`
	Success *bool      `json:"success"`
	Error   *Failure   `json:"error"`
}

type stepReply struct {
	Type     string          `json:"type"`
	Name     string          `json:"name"`
	Start    *time.Time      `json:"start"`
	End      *time.Time      `json:"end"`
	Attempts []attemptReply  `json:"attempts"`
	Output   json.RawMessage `json:"output,omitempty"`
	Success  *bool           `json:"success"`
	Config   json.RawMessage `json:"config"`
}

type sleepReply struct {
	Type     string     `json:"type"`
	Name     string     `json:"name"`
	Start    *time.Time `json:"start"`
	End      *time.Time `json:"end"`
	Finished bool       `json:"finished"`
	Error    *Failure   `json:"error"`
}

type waitReply struct {
	sleepReply
	Output json.RawMessage `json:"output,omitempty"`
}

type terminationReply struct {
	Type    string            `json:"type"`
	Trigger map[string]string `json:"trigger"`
}

func (a rest) instance(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	var reply instanceReply
	err = wf.named(r.PathValue("instance"), func(in *instance) (err error) {
		reply, err = in.details(r.URL.Query().Get("simple") == "true")
		return err
	})
	if err != nil {
		return err
	}
	if r.URL.Query().Get("order") == "desc" {
		slices.Reverse(reply.Steps)
	}
	return api.Write(w, reply)
}

// maxDetails bounds how many bytes of outputs are told.
const maxDetails = 16 << 20

// details tells all of an instance. simple: without its steps. Locked.
func (in *instance) details(simple bool) (instanceReply, error) {
	s, r := in.w.store, in.rec
	reply := instanceReply{
		Status: r.Status, Trigger: map[string]string{"source": r.Trigger}, Version: r.Version, Steps: []any{},
		Queued: at(r.Queued), Start: at(r.Started), End: at(r.Ended), Error: r.Failure,
	}
	if r.Status.ended() {
		ok := r.Status == Complete
		reply.Success = &ok
	}
	for place, to := range map[uint32]*json.RawMessage{paramsPlace: &reply.Params, outputPlace: &reply.Output} {
		v, err := s.value(in.w.number, in.number, place)
		if err != nil {
			return reply, err
		}
		*to = v.JSON()
	}
	steps, err := s.steps(in.w.number, in.number)
	if err != nil {
		return reply, err
	}
	if r.Rollback != nil && r.Rollback.Outcome != "" {
		reply.Rollback = &rollbackReply{r.Rollback.Outcome, r.Rollback.Failure}
	}
	steps = slices.DeleteFunc(steps, func(st *step) bool { return st.Type == typeUndo })
	reply.StepCount = len(steps)
	if simple {
		return reply, nil
	}
	told := 0
	for _, st := range steps {
		var output json.RawMessage
		switch {
		case !st.Done || st.Type == typeSleep:
		case told > maxDetails:
			output = json.RawMessage(`"[left out]"`)
		default:
			v, err := in.shown(st)
			if err != nil {
				return reply, err
			}
			output = v.JSON()
			told += len(output)
		}
		reply.Steps = append(reply.Steps, st.reply(output))
	}
	if r.Status == Terminated {
		reply.Steps = append(reply.Steps, terminationReply{"termination", map[string]string{"source": "user"}})
	}
	return reply, nil
}

// stepOutput is the whole of what a step has returned.
type stepOutput struct {
	// Status is "running", "waiting", "complete" or "errored".
	Status Status          `json:"status"`
	Error  *Failure        `json:"error"`
	Output json.RawMessage `json:"output"`
}

// step answers with what a step has returned: JSON, or the bytes of a stream.
func (a rest) step(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	typ, ok := map[string]string{"step": typeDo, "": typeDo, "waitForEvent": typeWait}[q.Get("type")]
	if !ok {
		return badBody("there is no type %q of a step; use step or waitForEvent", q.Get("type"))
	}
	var found *step
	var reply stepOutput
	err = wf.named(r.PathValue("instance"), func(in *instance) error {
		steps, err := a.k.store.steps(wf.number, in.number)
		i := slices.IndexFunc(steps, func(st *step) bool {
			return st.Type == typ && stepName{st.Name, st.Count}.String() == q.Get("name")
		})
		if err != nil || i < 0 {
			return err
		}
		found = steps[i]
		reply, err = in.output(found)
		return err
	})
	switch {
	case err != nil:
		return err
	case found == nil:
		return badBody("the instance has no step %q; its name ends in a hyphen and its count", q.Get("name"))
	case found.Stream && !found.Hidden:
		return wf.serveStream(w, r.PathValue("instance"), found.place)
	}
	return api.Write(w, reply)
}

// output is what a step that has not returned a stream has come to.
func (in *instance) output(st *step) (reply stepOutput, err error) {
	reply = stepOutput{Status: Running, Error: st.Failure, Output: json.RawMessage("null")}
	if n := len(st.Tries); reply.Error == nil && n > 0 && !st.Done {
		reply.Error = st.Tries[n-1].Failure
	}
	switch {
	case st.Failure != nil:
		reply.Status = Errored
	case st.Done:
		var v Value
		v, err = in.shown(st)
		reply.Status, reply.Output = Complete, v.JSON()
	case st.Type == typeWait:
		reply.Status = Waiting
	}
	return reply, err
}

// outputs are what the steps of the instance of an id have returned, and the payloads
// of the events that it has taken, in the order in which they came.
func (w *Workflow) outputs(id string) (list []Value, err error) {
	err = w.named(id, func(in *instance) error {
		steps, err := w.store.steps(w.number, in.number)
		if err != nil {
			return err
		}
		slices.SortStableFunc(steps, func(a, b *step) int { return cmp.Compare(a.End, b.End) })
		for _, st := range steps {
			if !st.Done || st.Type == typeSleep || st.Type == typeUndo {
				continue
			}
			v, err := in.shown(st)
			if err != nil {
				return err
			}
			list = append(list, v)
		}
		return nil
	})
	return list, err
}

// shown is what a step has returned, as far as it is to be shown.
func (in *instance) shown(st *step) (Value, error) {
	if st.Hidden {
		return Value(`"[REDACTED]"`), nil
	}
	if st.Stream {
		return in.preview(st)
	}
	return in.w.store.value(in.w.number, in.number, st.Value)
}

// reply is the step as the API shows it.
func (st *step) reply(output json.RawMessage) any {
	name := stepName{st.Name, st.Count}.String()
	if st.Type != typeDo {
		r := sleepReply{st.Type, name, at(st.Start), at(st.End), st.Done || st.Failure != nil, st.Failure}
		if st.Type == typeSleep {
			return r
		}
		return waitReply{r, output}
	}
	r := stepReply{Type: "step", Name: name, Start: at(st.Start), End: at(st.End), Attempts: []attemptReply{}, Output: output, Config: st.Config}
	if st.Done || st.Failure != nil {
		r.Success = &st.Done
	}
	for _, t := range st.Tries {
		x := attemptReply{Start: at(t.Start), End: at(t.End), Error: t.Failure}
		if t.End != 0 {
			ok := t.Failure == nil
			x.Success = &ok
		}
		r.Attempts = append(r.Attempts, x)
	}
	return r
}

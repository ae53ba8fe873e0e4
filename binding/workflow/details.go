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
	Success *bool           `json:"success"`
	Error   *Failure        `json:"error"`
	Output  json.RawMessage `json:"output"`
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
			if !st.Done || st.Type == typeSleep {
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

package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Subscription says which events of an instance somebody wants.
type Subscription struct {
	// Cursor is the number of an event: those after it are wanted.
	Cursor uint64
	// Filter has the types that are wanted. Nil: all.
	Filter []string
}

// InstanceEvent is something that has happened to an instance.
//
// Source: https://developers.cloudflare.com/workflows/build/subscribe-to-instance-events/
type InstanceEvent struct {
	Instance string `json:"instanceId"`
	// ID counts the events of the instance.
	ID   uint64 `json:"eventId"`
	Time int64  `json:"timestamp"` // ms
	Type string `json:"type"`

	Step     string          `json:"stepName,omitempty"`
	Config   json.RawMessage `json:"config,omitempty"`
	Attempt  int             `json:"attempt,omitempty"`
	Delay    *int64          `json:"retryDelayMs,omitempty"`
	Duration *int64          `json:"durationMs,omitempty"`
	Event    string          `json:"eventType,omitempty"`
	Failure  *Failure        `json:"error,omitempty"`

	// Value is of a workflow that has started its parameters, of one that is complete
	// its output, and of a step what it has returned.
	Value Value `json:"-"`
	// stream is the place of what a step has returned, if that is a stream.
	stream uint32
}

// errSubscription is the refusal of a subscription that is none.
var errSubscription = &Error{http.StatusBadRequest, codeBody, "Invalid Workflow subscription options", ""}

func (s Subscription) check() error {
	for _, typ := range s.Filter {
		if !noteTypes[typ] {
			return errSubscription
		}
	}
	return nil
}

// maxEvents is how many events are told at once.
const maxEvents = 100

// Next waits for events of the instance of an id and returns those that there are,
// and the cursor after them. done: the instance has ended, and no more come.
func (w *Workflow) Next(ctx context.Context, id string, s Subscription) (list []InstanceEvent, cursor uint64, done bool, err error) {
	if err := s.check(); err != nil {
		return nil, 0, false, err
	}
	number, err := w.find(id)
	for err == nil && len(list) == 0 && !done {
		heard, end := w.store.watching.watch(watched{w.number, number})
		seen := 0
		err = w.with(number, func(in *instance) error {
			notes, err := in.notes(s.Cursor, maxEvents)
			seen = len(notes)
			for _, n := range notes {
				if s.Cursor = n.number; s.Filter == nil || slices.Contains(s.Filter, n.Type) {
					e, err := in.event(n)
					if err != nil {
						return err
					}
					list = append(list, e)
				}
				if done = last(n.Type); done {
					break
				}
			}
			done = done || seen == 0 && in.rec.Status.ended()
			return err
		})
		if err == nil && len(list) == 0 && !done && seen < maxEvents {
			select {
			case <-heard:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		end()
	}
	return list, s.Cursor, done, err
}

// event is what subscribers are told of a note. Locked.
func (in *instance) event(n numbered) (e InstanceEvent, err error) {
	e = InstanceEvent{Instance: in.rec.ID, ID: n.number, Time: n.At, Type: n.Type, Step: n.Step, Attempt: n.Attempt,
		Delay: n.Delay, Duration: n.Duration, Event: n.Event, Failure: n.Failure}
	s := in.w.store
	switch n.Type {
	case noteStarted:
		e.Value, err = s.value(in.w.number, in.number, paramsPlace)
	case noteComplete:
		e.Value, err = s.value(in.w.number, in.number, outputPlace)
	case noteStep, noteStepDone, undone + noteStep:
		var st *step
		if st, err = s.stepAt(in.w.number, in.number, n.Place); err != nil || st == nil {
			return e, err
		}
		switch {
		case n.Type != noteStepDone:
			e.Config = st.Config
		case st.Stream && !st.Hidden:
			e.stream = st.place
		default:
			e.Value, err = in.shown(st)
		}
	}
	return e, err
}

// stepAt reads the step at a place; nil if it is gone.
func (s *Store) stepAt(workflow, instance uint64, place uint32) (*step, error) {
	v, found, err := s.db.Get(placeKey(rowStep, workflow, instance, place))
	if err != nil || !found {
		return nil, err
	}
	defer v.Release()
	st := &step{place: place}
	if err := json.Unmarshal(v.Bytes, st); err != nil {
		return nil, fmt.Errorf("%w: %w", errRow, err)
	}
	return st, nil
}

// patience is how long a call of a Worker waits for events; then it calls again.
const patience = 25 * time.Second

// toldReply is what a Worker is told of events: it, and a line of each one's value.
type toldReply struct {
	Events []toldEvent `json:"events"`
	Cursor uint64      `json:"cursor"`
	Done   bool        `json:"done,omitempty"`
}

type toldEvent struct {
	InstanceEvent
	Stream uint32 `json:"stream,omitempty"`
}

// next answers a Worker that waits for events.
func (w *Workflow) next(ctx context.Context, id string, s Subscription) (reply toldReply, values Value, err error) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reply.Events = []toldEvent{}
	var list []InstanceEvent
	list, reply.Cursor, reply.Done, err = w.Next(waiting, id, s)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil
	}
	for i, e := range list {
		reply.Events = append(reply.Events, toldEvent{e, e.stream})
		if i > 0 {
			values = append(values, '\n')
		}
		values = append(values, e.Value...)
	}
	return reply, values, err
}

// serveStream answers with the stream that a step of an instance has returned.
func (w *Workflow) serveStream(rw http.ResponseWriter, id string, place uint32) error {
	var size int64
	var from *instance
	err := w.named(id, func(in *instance) error {
		st, err := w.store.stepAt(w.number, in.number, place)
		if err == nil && st != nil && st.Done && st.Stream {
			from, size = in, st.Bytes
		}
		return err
	})
	if err == nil && from == nil {
		err = ErrNoInstance
	}
	if err != nil {
		return err
	}
	from.copyStream(rw, place, size)
	return nil
}

// subscribe is the operation of the REST API: events as a stream of server-sent
// events, until there are no more.
func (a rest) subscribe(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	var s Subscription
	if text := r.URL.Query().Get("cursor"); text != "" {
		if s.Cursor, err = strconv.ParseUint(text, 10, 53); err != nil {
			return errSubscription
		}
	}
	for _, list := range r.URL.Query()["filter"] {
		s.Filter = append(s.Filter, strings.Split(list, ",")...)
	}
	if err := s.check(); err != nil {
		return err
	}
	id := r.PathValue("instance")
	if _, err := wf.find(id); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	if err := out.Flush(); err != nil {
		return err
	}
	for done := false; !done; {
		var list []InstanceEvent
		list, s.Cursor, done, err = wf.Next(r.Context(), id, s)
		if err != nil {
			return nil // the client or the instance is gone
		}
		for _, e := range list {
			if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Type, e.json()); err != nil {
				return nil
			}
		}
		if err := out.Flush(); err != nil {
			return nil
		}
	}
	return nil
}

// json is the event with its value.
func (e InstanceEvent) json() []byte {
	data := encode(e)
	field := map[string]string{noteStarted: "params", noteComplete: "output", noteStepDone: "output"}[e.Type]
	value := e.Value.JSON()
	if e.stream != 0 {
		value = encode("[ReadableStream]")
	}
	if field == "" || len(e.Value) == 0 && e.stream == 0 {
		return data
	}
	return slices.Concat(data[:len(data)-1], []byte(`,"`+field+`":`), value, []byte("}"))
}

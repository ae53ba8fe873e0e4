package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// service answers the calls of a binding, each POST /<verb> with lines of JSON and
// of values; see binding.js. A refusal is the text of the error that the Worker
// gets, and so is anything else that goes wrong, as far as the Worker may know.
type service struct {
	k      *Kind
	name   string // of the Workflow
	worker string
}

// maxBatchBody bounds the body of a call: a batch of the largest instances.
const maxBatchBody = MaxBatch * (MaxValueBytes + 4096)

func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Date"] = nil
	w.Header().Set("Content-Type", "text/plain")
	head, value, err := s.answer(r)
	if from, ok := head.(streamOf); ok && err == nil {
		if err = from.w.serveStream(w, from.id, from.place); err == nil {
			return
		}
	}
	var refusal *Error
	switch {
	case errors.As(err, &refusal) || errors.Is(err, ErrExists):
		fail(w, http.StatusBadRequest, err.Error())
		return
	case err != nil:
		s.k.store.log.Error("a call of a Workflow's binding failed", "workflow", s.name, "worker", s.worker, "err", err)
		fail(w, http.StatusInternalServerError, "WorkflowError: (internal_server) the call failed here; the server's log says why")
		return
	}
	if head == nil {
		head = struct{}{}
	}
	_, _ = w.Write(append(append(encode(head), '\n'), value...)) // the Worker is gone
}

func fail(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the Worker is gone
}

func (s service) answer(r *http.Request) (head any, value Value, err error) {
	w, err := s.k.store.Workflow(s.name)
	if err != nil {
		return nil, nil, err
	}
	if r.ContentLength < 0 || r.ContentLength > maxBatchBody {
		return nil, nil, badBody("the call has %d bytes; the maximum is %d", r.ContentLength, maxBatchBody)
	}
	lease, err := s.k.memory.Take(r.Context(), s.worker, r.ContentLength)
	if err != nil {
		return nil, nil, err
	}
	defer lease.Release()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, err
	}
	verb := strings.TrimPrefix(r.URL.Path, "/")
	lines := bytes.Split(data, []byte("\n"))
	if verb == "create" {
		list, err := parseEntries(lines)
		if err != nil {
			return nil, nil, err
		}
		head, err = w.createAs(r.Context(), list, r.URL.RawQuery)
		return head, nil, err
	}
	var c struct {
		ID   string   `json:"id"`
		IDs  []string `json:"ids"`
		From *From    `json:"from"`
		Type string   `json:"type"`

		Rollback bool     `json:"rollback"`
		Place    uint32   `json:"place"`
		Cursor   uint64   `json:"cursor"`
		Filter   []string `json:"filter"`
	}
	if err := json.Unmarshal(lines[0], &c); err != nil {
		return nil, nil, badBody("Provided argument is invalid")
	}
	ctx := r.Context()
	switch verb {
	case "get":
		_, err = w.find(c.ID)
	case "status":
		var st InstanceStatus
		st, err = w.Status(ctx, c.ID)
		reply := statusReply{Status: st.Status, Failure: st.Failure}
		value = st.Output
		if err == nil && s.k.dev {
			var outputs []Value
			outputs, err = w.outputs(c.ID)
			reply.Steps = new(len(outputs))
			for _, v := range outputs {
				value = append(append(value, '\n'), v...)
			}
		}
		head = reply
	case "pause":
		err = w.Pause(ctx, c.ID)
	case "resume":
		err = w.Resume(ctx, c.ID)
	case "terminate":
		if c.Rollback {
			err = w.RollBack(ctx, c.ID)
		} else {
			err = w.Terminate(ctx, c.ID)
		}
	case "subscribe":
		if err = (Subscription{c.Cursor, c.Filter}).check(); err == nil {
			_, err = w.find(c.ID)
		}
	case "next":
		head, value, err = w.next(ctx, c.ID, Subscription{c.Cursor, c.Filter})
	case "restart":
		err = w.Restart(ctx, c.ID, c.From)
	case "event":
		if len(lines) != 2 {
			return nil, nil, badBody("Provided argument is invalid")
		}
		err = w.SendEvent(ctx, c.ID, c.Type, lines[1])
	case "stream":
		head = streamOf{w, c.ID, c.Place}
	case "delete":
		d := w.removeAll(ctx, c.IDs)
		if head = d; r.URL.RawQuery == "" && len(d.Errors) > 0 {
			err = ErrNoInstance
		}
	default:
		err = fmt.Errorf("no such call: %s", verb)
	}
	return head, value, err
}

// streamOf is a stream that a step has returned, in place of an answer.
type streamOf struct {
	w     *Workflow
	id    string
	place uint32
}

// statusReply is what status() is told, before a line of the output and, where Steps
// is there, one of each step's.
type statusReply struct {
	Status  Status   `json:"status"`
	Failure *Failure `json:"error,omitempty"`
	Steps   *int     `json:"steps,omitempty"`
}

// entryHead is the first of the two lines that describe an instance to create; the
// second is its parameters.
type entryHead struct {
	ID        *string `json:"id"`
	Retention struct {
		Success json.RawMessage `json:"successRetention"`
		Error   json.RawMessage `json:"errorRetention"`
	} `json:"retention"`
}

func parseEntries(lines [][]byte) ([]Create, error) {
	if len(lines)%2 != 0 || len(lines) > 2*MaxBatch {
		return nil, badBody("Provided argument is invalid")
	}
	var list []Create
	for pair := range slices.Chunk(lines, 2) {
		var h entryHead
		if json.Unmarshal(pair[0], &h) != nil {
			return nil, badBody("Provided argument is invalid")
		}
		c := Create{ID: h.ID, Params: pair[1], trigger: "binding"}
		var err error
		if c.SuccessRetention, err = parseRetention(h.Retention.Success); err != nil {
			return nil, err
		}
		if c.ErrorRetention, err = parseRetention(h.Retention.Error); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// parseRetention reads how long an instance is to be kept, in ms; 0 if nothing is
// said.
func parseRetention(raw json.RawMessage) (int64, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return 0, nil
	}
	ms, err := parseDuration(raw)
	if err != nil || ms == 0 {
		return 0, badBody("Duration must be a number or a string in format '{{number}} {{unit}}' where unit is second(s), minute(s), etc.")
	}
	return ms, nil
}

// batchReply says what became of a batch.
type batchReply struct {
	Created []idReply    `json:"created"`
	Errors  []batchError `json:"errors"`
}

type idReply struct {
	ID string `json:"id"`
}

type batchError struct {
	Index   int    `json:"index"`
	ID      string `json:"id"`
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// createAs creates instances: one, "list" of them, or a "batch", which is told of
// those that it did not make.
func (w *Workflow) createAs(ctx context.Context, list []Create, as string) (batchReply, error) {
	reply := batchReply{[]idReply{}, []batchError{}}
	if as == "batch" {
		for _, c := range list {
			if c.ID != nil && (!validID(*c.ID) || reservedID(*c.ID)) {
				return reply, refuse(http.StatusBadRequest, 10402, "instance.invalid_id", "Instance ID is invalid")
			}
		}
	}
	made, err := w.create(ctx, list)
	if err != nil {
		return reply, err
	}
	for i, m := range made {
		switch {
		case m.err == nil:
			reply.Created = append(reply.Created, idReply{m.id})
		case as == "":
			return reply, m.err
		default:
			e := ErrExists
			if errors.Is(m.err, errTwice) {
				e = errTwice
			}
			reply.Errors = append(reply.Errors, batchError{i, m.id, e.Code, e.Reply})
		}
	}
	return reply, nil
}

// deletedReply says what became of instances that were to be deleted.
type deletedReply struct {
	Deleted []idReply     `json:"deleted"`
	Errors  []deleteError `json:"errors"`
}

type deleteError struct {
	ID      string `json:"id"`
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// removeAll deletes instances.
func (w *Workflow) removeAll(ctx context.Context, ids []string) deletedReply {
	d := deletedReply{[]idReply{}, []deleteError{}}
	became := map[string]error{}
	for _, id := range ids {
		err, done := became[id]
		if !done {
			err = w.Remove(ctx, id)
			became[id] = err
		}
		switch {
		case err == nil:
			d.Deleted = append(d.Deleted, idReply{id})
		case errors.Is(err, ErrNoInstance):
			d.Errors = append(d.Errors, deleteError{id, ErrNoInstance.Code, ErrNoInstance.Reply})
		default:
			w.store.log.Error("an instance cannot be deleted", "workflow", w.name, "instance", id, "err", err)
			d.Errors = append(d.Errors, deleteError{id, 10001, "workflows.api.error.internal_server"})
		}
	}
	return d
}

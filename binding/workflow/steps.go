package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxCall bounds the body of a call: a value that is too large is still to be
// refused with its own words.
const maxCall = 2*MaxValueBytes + 64<<10

// runs answers the calls that the shim makes while a Worker runs an instance, each
// POST /<token>/<verb>:
//
//	do       {"name", "count", "config"?, "dynamic"?, "undo"?: {"config"?, "dynamic"?}}
//	done     {"place"}, and the value that the attempt has returned; or
//	         {"place", "failure", "delay"?}
//	sleep    {"name", "count", "duration"} or {"name", "count", "until"}
//	wait     {"name", "count", "type", "timeout"?}
//	rollback {"failure"?}: the function has failed, what is to be undone?
//	undo     {"place", "config"?, "dynamic"?, "missing"?}
//	stream   a stream of bytes, in place of done: POST /<token>/stream/<place>. GET
//	         answers with one that a step has returned.
//
// A call waits until there is something to tell: an answer. Bodies and answers are
// a line of JSON, and then a value where there is one.
type runs struct{ store *Store }

func (s runs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Date"] = nil
	token, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if place, ok := strings.CutPrefix(verb, "stream/"); ok {
		s.serveStream(w, r, token, place)
		return
	}
	head, value, err := readCall(r.Body)
	var a answer
	if err == nil {
		a, err = s.store.step(r.Context(), token, func(run *run, ctx context.Context) (answer, error) { return run.call(ctx, verb, head, value) })
	}
	if err != nil {
		s.store.log.Error("a step of a Workflow failed here", "verb", verb, "err", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	line, err := json.Marshal(a)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(append(append(line, '\n'), a.value...)) // the shim is gone
}

// readCall reads a line of JSON and the value behind it.
func readCall(body io.Reader) (head []byte, value Value, err error) {
	data, err := io.ReadAll(io.LimitReader(body, maxCall+1))
	if err == nil && len(data) > maxCall {
		err = fmt.Errorf("a call has more than %d bytes", maxCall)
	}
	head, value, _ = bytes.Cut(data, []byte("\n"))
	return head, value, err
}

func (r *run) call(ctx context.Context, verb string, head []byte, value Value) (answer, error) {
	var c struct {
		label
		stepConfig
		Undo     *stepConfig     `json:"undo"`
		Missing  bool            `json:"missing"`
		Place    uint32          `json:"place"`
		Failure  *Failure        `json:"failure"`
		Delay    *float64        `json:"delay"`
		Duration json.RawMessage `json:"duration"`
		Until    *int64          `json:"until"`
		Type     string          `json:"type"`
		Timeout  json.RawMessage `json:"timeout"`
	}
	if err := json.Unmarshal(head, &c); err != nil {
		return answer{}, fmt.Errorf("read call %s: %w", verb, err)
	}
	switch verb {
	case "do":
		return r.do(ctx, c.label, c.stepConfig, c.Undo)
	case "rollback":
		return r.rollBack(c.Failure)
	case "undo":
		return r.undoStep(ctx, c.Place, c.stepConfig, c.Missing)
	case "done":
		if c.Failure == nil {
			return r.succeeded(ctx, c.Place, value)
		}
		var delay *int64
		if c.Delay != nil {
			ms := int64(min(*c.Delay, maxMillis))
			delay = &ms
		}
		return r.failed(ctx, c.Place, c.Failure, delay)
	case "sleep":
		return r.sleep(ctx, c.label, c.Duration, c.Until)
	case "wait":
		return r.waitForEvent(ctx, c.label, c.Type, c.Timeout)
	}
	return answer{}, fmt.Errorf("no such call: %s", verb)
}

package workflow

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/selvage-edge/selvage/api"
)

// maxRequest bounds the body of a request about one instance.
const maxRequest = MaxValueBytes + 64<<10

// listReply is an instance in a list.
type listReply struct {
	ID       string     `json:"id"`
	Version  string     `json:"version_id"`
	Workflow string     `json:"workflow_id"`
	Created  *time.Time `json:"created_on"`
	Modified *time.Time `json:"modified_on"`
	Started  *time.Time `json:"started_on"`
	Ended    *time.Time `json:"ended_on"`
	Status   Status     `json:"status"`
	Trigger  string     `json:"trigger_source"`
}

func (a rest) instances(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	f, info, err := parseFilter(r)
	if err != nil {
		return err
	}
	list, more, err := wf.list(r.Context(), f)
	if err != nil {
		return err
	}
	replies, id := make([]listReply, len(list)), wf.Info().ID
	for i, x := range list {
		replies[i] = listReply{x.ID, x.Version, id, at(x.Created), at(x.Modified), at(x.Started), at(x.Ended), x.Status, x.Trigger}
	}
	info.Count = len(list)
	if more {
		info.Cursor = strconv.FormatUint(list[len(list)-1].number, 10)
		info.Cursors = &api.Cursors{After: info.Cursor}
	}
	return api.WriteList(w, replies, info)
}

// parseFilter reads which instances a client wants to see.
func parseFilter(r *http.Request) (f Filter, info *api.Info, err error) {
	q := r.URL.Query()
	number := func(name string, fallback, most int) int {
		text := q.Get(name)
		if text == "" {
			return fallback
		}
		n, e := strconv.Atoi(text)
		if e != nil || n < 1 || n > most {
			err = badBody("%s is %q; it must be 1 to %d", name, text, most)
		}
		return n
	}
	moment := func(name string) int64 {
		text := q.Get(name)
		if text == "" {
			return 0
		}
		t, e := time.Parse(time.RFC3339, text)
		if e != nil {
			err = badBody("%s is %q; it must be a time such as 2026-01-01T12:00:00Z", name, text)
		}
		return t.UnixMilli()
	}
	page := number("page", 1, 1<<20)
	f = Filter{Status: Status(q.Get("status")), From: moment("date_start"), To: moment("date_end"), Limit: number("per_page", 50, 100)}
	if f.Status != "" && f.Status.code() < 0 {
		err = badBody("there is no status %q", f.Status)
	}
	if text := q.Get("cursor"); text != "" {
		n, e := strconv.ParseUint(text, 10, 64)
		if e != nil || n == 0 {
			err = badBody("the cursor is not one of ours")
		}
		f.After = n
	} else {
		f.Skip = (page - 1) * f.Limit
	}
	return f, &api.Info{Page: page, PerPage: f.Limit}, err
}

// createRequest is an instance that a client wants.
type createRequest struct {
	ID        *string         `json:"instance_id"`
	Params    json.RawMessage `json:"params"`
	Retention struct {
		Success json.RawMessage `json:"success_retention"`
		Error   json.RawMessage `json:"error_retention"`
	} `json:"instance_retention"`
}

func (c createRequest) create() (made Create, err error) {
	made = Create{ID: c.ID, Params: Value("{}"), trigger: "api"}
	if c.ID != nil && reservedID(*c.ID) {
		return made, ErrInvalidID
	}
	if len(c.Params) > 0 {
		if made.Params, err = compact(c.Params); err != nil {
			return made, err
		}
	}
	if made.SuccessRetention, err = parseRetention(c.Retention.Success); err == nil {
		made.ErrorRetention, err = parseRetention(c.Retention.Error)
	}
	return made, err
}

// compact is JSON of a client as a value.
func compact(raw []byte) (Value, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, badBody("the body is not valid JSON")
	}
	return b.Bytes(), nil
}

// createdReply is an instance that was created.
type createdReply struct {
	ID       string `json:"id"`
	Status   Status `json:"status"`
	Version  string `json:"version_id"`
	Workflow string `json:"workflow_id"`
}

func (a rest) create(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	var body createRequest
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	c, err := body.create()
	if err != nil {
		return err
	}
	id, err := wf.Create(r.Context(), c)
	if err != nil {
		return err
	}
	info := wf.Info()
	return api.Write(w, createdReply{id, Queued, info.Versions[0].ID, info.ID})
}

func (a rest) createBatch(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBatchBody)
	var body []createRequest
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	if len(body) == 0 || len(body) > MaxBatch {
		return badBody("Batch size exceeds maximum allowed")
	}
	list := make([]Create, len(body))
	for i, b := range body {
		if list[i], err = b.create(); err != nil {
			return err
		}
	}
	ids, err := wf.CreateBatch(r.Context(), list)
	if err != nil {
		return err
	}
	info := wf.Info()
	replies := make([]createdReply, len(ids))
	for i, id := range ids {
		replies[i] = createdReply{id, Queued, info.Versions[0].ID, info.ID}
	}
	return api.Write(w, replies)
}

func (a rest) deleteBatch(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	var body struct {
		Instances []string `json:"instances"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	if len(body.Instances) == 0 || len(body.Instances) > MaxBatch {
		return badBody("instances must be 1 to %d ids", MaxBatch)
	}
	return api.Write(w, wf.removeAll(r.Context(), body.Instances))
}

func (a rest) deleteInstance(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err == nil {
		err = wf.Remove(r.Context(), r.PathValue("instance"))
	}
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"status": "ok", "success": true})
}

func (a rest) terminateAll(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	status := Status(r.URL.Query().Get("status"))
	if status != "" && (status.code() < 0 || status.ended()) {
		return badBody("instances with the status %q cannot be terminated", status)
	}
	mine, err := wf.TerminateAll(r.Context(), status)
	if err != nil {
		return err
	}
	answer := "ok"
	if !mine {
		answer = "already_running"
	}
	return api.Write(w, map[string]string{"status": answer})
}

// setStatus pauses, resumes, terminates and restarts.
func (a rest) setStatus(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	var body struct {
		Status   string `json:"status"`
		From     *From  `json:"from"`
		Rollback bool   `json:"rollback"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	ctx, id := r.Context(), r.PathValue("instance")
	if body.Rollback && body.Status != "terminate" {
		return badBody("rollback belongs to the status terminate")
	}
	switch body.Status {
	case "pause":
		err = wf.Pause(ctx, id)
	case "resume":
		err = wf.Resume(ctx, id)
	case "terminate":
		if body.Rollback {
			err = wf.RollBack(ctx, id)
		} else {
			err = wf.Terminate(ctx, id)
		}
	case "restart":
		err = wf.Restart(ctx, id, body.From)
	default:
		err = badBody("there is no status %q to set; use pause, resume, terminate or restart", body.Status)
	}
	if err != nil {
		return err
	}
	st, err := wf.Status(ctx, id)
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"status": st.Status, "timestamp": a.k.store.now().UTC()})
}

func (a rest) sendEvent(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	typ := r.PathValue("type")
	if len(typ) > MaxEventTypeChars || !validType.MatchString(typ) {
		return badBody("%q is no type of an event: use 1 to %d letters, digits, hyphens and underscores", typ, MaxEventTypeChars)
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return badBody("the payload cannot be read: %v", err)
	}
	var payload Value
	if len(bytes.TrimSpace(data)) > 0 {
		if payload, err = compact(data); err != nil {
			return err
		}
	}
	if err := wf.SendEvent(r.Context(), r.PathValue("instance"), typ, payload); err != nil {
		return err
	}
	return api.Write(w, nil)
}

package workflow

import (
	"errors"
	"net/http"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
)

var _ binding.Router = (*Kind)(nil)

// Routes implements binding.Router.
func (k *Kind) Routes() []api.Route { return rest{k}.routes() }

// rest is the operations of the REST API on Workflows. api_instances.go has those
// on instances.
//
// Source: https://developers.cloudflare.com/api/resources/workflows/
type rest struct{ k *Kind }

func (a rest) routes() []api.Route {
	const all = "/accounts/{account}/workflows"
	const one = all + "/{workflow}"
	const instances = one + "/instances"
	const instance = instances + "/{instance}"
	group := api.Group{Scope: "workflows", Report: report}
	read, edit := group.Read, group.Edit
	return []api.Route{
		read("GET", all, a.list),
		read("GET", one, a.info),
		edit("PUT", one, a.put),
		edit("DELETE", one, a.remove),
		read("GET", one+"/versions", a.versions),
		read("GET", one+"/versions/{version}", a.version),
		read("GET", instances, a.instances),
		read("GET", instances+"/{$}", a.instances),
		edit("POST", instances, a.create),
		edit("POST", instances+"/batch", a.createBatch),
		edit("POST", instances+"/batch/delete", a.deleteBatch),
		edit("PUT", instances+"/terminate", a.terminateAll),
		read("GET", instance, a.instance),
		edit("DELETE", instance, a.deleteInstance),
		edit("PATCH", instance+"/status", a.setStatus),
		edit("POST", instance+"/events/{type}", a.sendEvent),
		read("GET", instance+"/subscribe", a.subscribe),
		read("GET", instance+"/step", a.step),
	}
}

// report turns the store's errors into those of the API.
func report(err error) error {
	var refusal *Error
	if errors.Is(err, ErrExists) {
		refusal = ErrExists
	} else if !errors.As(err, &refusal) {
		return err
	}
	text := refusal.Reply
	if text == "" {
		text = refusal.Text
	}
	return api.Errorf(refusal.Status, refusal.Code, "%s", text)
}

func (a rest) workflow(r *http.Request) (*Workflow, error) {
	return a.k.store.Workflow(r.PathValue("workflow"))
}

// workflowReply is a Workflow as the API shows it.
type workflowReply struct {
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	Script       string         `json:"script_name"`
	Class        string         `json:"class_name"`
	Created      time.Time      `json:"created_on"`
	Modified     time.Time      `json:"modified_on"`
	Triggered    *time.Time     `json:"triggered_on"`
	Version      string         `json:"version_id,omitempty"`
	Instances    map[Status]int `json:"instances"`
	Limits       *limitsReply   `json:"limits,omitempty"`
	Concurrency  *limitReply    `json:"concurrency,omitempty"`
	Schedules    []scheduleOf   `json:"schedules,omitempty"`
	Jurisdiction string         `json:"jurisdiction,omitempty"`
	Deleted      int            `json:"is_deleted"`
	Terminating  int            `json:"terminator_running"`
}

type limitsReply struct {
	Steps int `json:"steps"`
}

type limitReply struct {
	Limit int `json:"limit"`
}

type scheduleOf struct {
	Cron string `json:"cron"`
}

func (w *Workflow) reply(r *http.Request) (workflowReply, error) {
	i := w.Info()
	counts, err := w.counts(r.Context())
	if err != nil {
		return workflowReply{}, err
	}
	reply := workflowReply{
		ID: i.ID, Name: i.Name, Script: i.Settings.Script, Class: i.Settings.Class, Created: i.Created, Modified: i.Modified,
		Version: i.Versions[0].ID, Instances: counts, Jurisdiction: i.Settings.Jurisdiction,
	}
	if i.Settings.Steps != 0 {
		reply.Limits = &limitsReply{i.Settings.Steps}
	}
	if i.Settings.Concurrency != 0 {
		reply.Concurrency = &limitReply{i.Settings.Concurrency}
	}
	for _, text := range i.Settings.Schedules {
		reply.Schedules = append(reply.Schedules, scheduleOf{text})
	}
	if w.terminating.Load() {
		reply.Terminating = 1
	}
	newest, _, err := w.list(r.Context(), Filter{Limit: 1})
	if len(newest) == 1 {
		reply.Triggered = at(newest[0].Created)
	}
	return reply, err
}

func (a rest) list(w http.ResponseWriter, r *http.Request) error {
	page, info := api.Paginate(r, a.k.store.Workflows(), 50)
	replies := make([]workflowReply, len(page))
	for i, wf := range page {
		var err error
		if replies[i], err = wf.reply(r); err != nil {
			return err
		}
	}
	return api.WriteList(w, replies, info)
}

func (a rest) info(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	reply, err := wf.reply(r)
	if err != nil {
		return err
	}
	return api.Write(w, reply)
}

// put is what wrangler calls for each Workflow of a Worker that it has deployed.
func (a rest) put(w http.ResponseWriter, r *http.Request) error {
	var body putRequest
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	settings, err := body.settings()
	if err != nil {
		return badBody("%v", err)
	}
	wf, err := a.k.store.Put(r.PathValue("workflow"), settings, true)
	if err != nil {
		return err
	}
	reply, err := wf.reply(r)
	if err != nil {
		return err
	}
	return api.Write(w, reply)
}

func (a rest) remove(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err == nil {
		err = wf.Delete()
	}
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"status": "ok", "success": true})
}

// versionReply is a version of a Workflow.
type versionReply struct {
	Version
	Workflow string `json:"workflow_id"`
}

func (a rest) versions(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	i := wf.Info()
	page, info := api.Paginate(r, i.Versions, 50)
	replies := make([]versionReply, len(page))
	for n, v := range page {
		replies[n] = versionReply{v, i.ID}
	}
	return api.WriteList(w, replies, info)
}

func (a rest) version(w http.ResponseWriter, r *http.Request) error {
	wf, err := a.workflow(r)
	if err != nil {
		return err
	}
	i := wf.Info()
	for _, v := range i.Versions {
		if v.ID == r.PathValue("version") {
			return api.Write(w, versionReply{v, i.ID})
		}
	}
	return api.Errorf(http.StatusNotFound, 10201, "workflows.api.error.version_not_found")
}

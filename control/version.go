package control

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control/state"
)

func noVersion(id string) error {
	return api.Errorf(http.StatusNotFound, 10007, "workers.api.error.version_not_found: this Worker has no version %q", id)
}

// postVersion uploads a version without deploying it.
func (s *server) postVersion(w http.ResponseWriter, r *http.Request) error {
	u, err := readUpload(w, r)
	if err != nil {
		return err
	}
	d, err := s.begin(r, r.PathValue("script"))
	if err != nil {
		return err
	}
	defer d.end()
	if !d.exists() {
		return notFound(d.worker.Name)
	}
	if u.Migrations != nil {
		return badRequest(10211, "Durable Object migrations cannot be part of a version that is not deployed; use wrangler deploy")
	}
	if err := d.fill(u, r.URL.Query().Get("bindings_inherit") == "strict"); err != nil {
		return err
	}
	d.Annotations = annotate(d.Annotations, "version_upload")
	return s.finishVersion(w, d)
}

// finishVersion checks and stores a draft and answers with the version.
func (s *server) finishVersion(w http.ResponseWriter, d *draft) error {
	if err := d.check(); err != nil {
		return err
	}
	if err := d.store(nil); err != nil {
		return err
	}
	result := s.versionJSON(d.worker, d.Version)
	result["startup_time_ms"] = d.Startup.Milliseconds()
	if len(d.warnings) > 0 {
		result["warnings"] = d.warnings
	}
	return api.Write(w, result)
}

// versionJSON is a version in full.
func (s *server) versionJSON(w state.Worker, v state.Version) map[string]any {
	m := versionSummary(w, v)
	script := map[string]any{"etag": v.ETag, "handlers": nonNil(v.Handlers), "last_deployed_from": v.Source}
	if len(v.Placement) > 0 {
		script["placement"] = v.Placement
	}
	runtime := map[string]any{"compatibility_flags": nonNil(v.CompatibilityFlags), "usage_model": "standard", "limits": v.Limits}
	if v.CompatibilityDate != "" {
		runtime["compatibility_date"] = v.CompatibilityDate
	}
	if v.MigrationTag != "" {
		runtime["migration_tag"] = v.MigrationTag
	}
	m["resources"] = map[string]any{"script": script, "script_runtime": runtime, "bindings": s.publicBindings(v.Bindings)}
	m["startup_time_ms"] = v.Startup.Milliseconds()
	return m
}

// versionSummary is a version in a list.
func versionSummary(w state.Worker, v state.Version) map[string]any {
	annotations := v.Annotations
	if annotations == nil {
		annotations = map[string]string{}
	}
	return map[string]any{
		"id": v.ID, "number": v.Number, "annotations": annotations,
		"metadata": map[string]any{
			"created_on": stamp(v.Created), "modified_on": stamp(v.Created), "source": v.Source,
			"author_id": "", "author_email": v.Author,
			// Durable Objects run in the deployed version only.
			"has_preview": w.Previews && len(v.Classes) == 0,
		},
	}
}

func (s *server) publicBindings(list state.Bindings) state.Bindings {
	public := make(state.Bindings, len(list))
	for i, b := range list {
		public[i] = s.state.Public(b)
	}
	return public
}

// listVersions gives the newest versions first, all of which can be deployed.
func (s *server) listVersions(w http.ResponseWriter, r *http.Request) error {
	items := []map[string]any{}
	err := s.view(r, func(tx *state.Tx) error {
		worker, err := s.worker(tx, r)
		if err != nil {
			return err
		}
		versions, err := tx.Versions(worker.Name)
		for _, v := range versions {
			items = append(items, versionSummary(worker, v))
		}
		return err
	})
	if err != nil {
		return err
	}
	page, info := api.Paginate(r, items, state.MaxListed)
	return api.WriteList(w, map[string]any{"items": page}, info)
}

func (s *server) getVersion(w http.ResponseWriter, r *http.Request) error {
	var worker state.Worker
	var v state.Version
	err := s.view(r, func(tx *state.Tx) (err error) {
		if worker, err = s.worker(tx, r); err != nil {
			return err
		}
		v, err = tx.Version(worker.Name, r.PathValue("version"))
		return orNotFound(err, noVersion(r.PathValue("version")))
	})
	if err != nil {
		return err
	}
	return api.Write(w, s.versionJSON(worker, v))
}

// patchLatest makes a version from the newest one with other variables: a
// merge patch {"env":{"NAME":{"type","text"} or null},"annotations":{…}}.
func (s *server) patchLatest(w http.ResponseWriter, r *http.Request) error {
	var patch struct {
		Env         map[string]json.RawMessage `json:"env"`
		Annotations map[string]string          `json:"annotations"`
	}
	if err := api.Decode(r, &patch); err != nil {
		return err
	}
	d, err := s.begin(r, r.PathValue("script"))
	if err != nil {
		return err
	}
	defer d.end()
	if !d.exists() {
		return notFound(d.worker.Name)
	}
	if d.before == nil {
		return badRequest(10222, "the Worker %q has no versions", d.worker.Name)
	}
	d.copyBefore()
	d.Annotations = annotate(patch.Annotations, "version_upload")
	if d.Bindings, err = s.patchBindings(d.Bindings, patch.Env); err != nil {
		return err
	}
	return s.finishVersion(w, d)
}

// patchBindings replaces and adds bindings by name; null deletes one.
func (s *server) patchBindings(list state.Bindings, patch map[string]json.RawMessage) (state.Bindings, error) {
	var kept []config.Binding
	for _, b := range list {
		if _, ok := patch[b.Name]; !ok {
			kept = append(kept, b)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(patch)) {
		value := patch[name]
		if len(value) == 0 || string(value) == "null" {
			continue
		}
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal(value, &fields); err != nil {
			return nil, refused("binding %s is not an object: %v", name, err)
		}
		var head struct{ Type string }
		if err := json.Unmarshal(value, &head); err != nil || head.Type == "" {
			return nil, refused("binding %s must have a type", name)
		}
		b, err := config.NewBinding(name, head.Type, fields)
		if err != nil {
			return nil, refused("%v", err)
		}
		if err := s.checkUploaded(b); err != nil {
			return nil, err
		}
		kept = append(kept, b)
	}
	return s.mergeBindings(kept, nil, nil, true)
}

package control

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/state"
)

// getSettings gives the settings of the newest version together with those of
// the Worker. The bindings are what the next upload may inherit.
func (s *server) getSettings(w http.ResponseWriter, r *http.Request) error {
	var worker state.Worker
	var v *state.Version
	err := s.view(r, func(tx *state.Tx) (err error) {
		if worker, err = s.worker(tx, r); err != nil {
			return err
		}
		v, err = latest(tx, worker.Name)
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, s.settingsJSON(worker, v))
}

func (s *server) settingsJSON(worker state.Worker, v *state.Version) map[string]any {
	m := scriptJSON(worker, v)
	for _, name := range []string{"id", "tag", "created_on", "modified_on", "handlers", "etag", "has_assets", "has_modules", "last_deployed_from"} {
		delete(m, name)
	}
	m["bindings"] = state.Bindings{}
	if v != nil {
		m["bindings"] = s.publicBindings(v.Bindings)
	}
	return m
}

func (s *server) getBindings(w http.ResponseWriter, r *http.Request) error {
	bindings := state.Bindings{}
	err := s.view(r, func(tx *state.Tx) error {
		worker, err := s.worker(tx, r)
		if err != nil {
			return err
		}
		v, err := latest(tx, worker.Name)
		if v != nil {
			bindings = s.publicBindings(v.Bindings)
		}
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, bindings)
}

// patchSettings changes settings and deploys the new version that they make.
// The body is a form with the part "settings", or JSON.
func (s *server) patchSettings(w http.ResponseWriter, r *http.Request) error {
	var patch metadata
	if err := decodeSettings(r, &patch); err != nil {
		return err
	}
	d, err := s.begin(r, r.PathValue("script"), patch.Migrations.fromScripts()...)
	if err != nil {
		return err
	}
	defer d.end()
	if d.before == nil {
		return notFound(d.worker.Name)
	}
	if err := d.beforeIsDeployed(); err != nil {
		return err
	}
	d.copyBefore()
	u := &upload{metadata: patch}
	if err := u.check(); err != nil {
		return err
	}
	if patch.Bindings != nil {
		if err := s.checkUploaded(u.bindings...); err != nil {
			return err
		}
		if d.Bindings, err = s.mergeBindings(u.bindings, d.before.Bindings, patch.KeepBindings, false); err != nil {
			return err
		}
	}
	if patch.CompatibilityDate != "" {
		d.CompatibilityDate = patch.CompatibilityDate
	}
	if patch.CompatibilityFlags != nil {
		d.CompatibilityFlags = patch.CompatibilityFlags
	}
	if patch.Limits != nil {
		d.Limits = state.Limits(*patch.Limits)
	}
	d.Placement = or(patch.Placement, d.Placement)
	if patch.Migrations != nil {
		if err := d.migrate(patch.Migrations); err != nil {
			return err
		}
		d.worker.Classes, d.worker.MigrationTag = d.Classes, d.MigrationTag
	}
	if patch.Bindings != nil || patch.Migrations != nil {
		if err := d.checkClasses(); err != nil {
			return err
		}
	}
	patch.apply(&d.worker)
	d.Annotations = annotate(patch.Annotations, "settings")
	if err := d.check(); err != nil {
		return err
	}
	if err := d.storeDeployed(d.Annotations); err != nil {
		return err
	}
	return api.Write(w, s.settingsJSON(d.worker, &d.Version))
}

// decodeSettings reads the part "settings" of a form, or a JSON body.
func decodeSettings(r *http.Request, v any) error {
	form, err := formReader(r.Header.Get("Content-Type"), r.Body)
	if err != nil {
		return api.Decode(r, v)
	}
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			return badRequest(10001, "the form has no part called settings")
		}
		if err != nil {
			return formError(err)
		}
		if part.FormName() != "settings" {
			continue
		}
		data, err := readPart(part, maxMetadataBytes)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, v); err != nil {
			return badRequest(10001, "the settings part is not valid: %v", api.Explain(err))
		}
		return nil
	}
}

// apply sets what of a Worker is not part of a version.
func (m *metadata) apply(w *state.Worker) {
	if m.Tags != nil {
		w.Tags = *m.Tags
	}
	if m.Logpush != nil {
		w.Logpush = *m.Logpush
	}
	w.Observability = or(m.Observability, w.Observability)
	w.TailConsumers = or(m.TailConsumers, w.TailConsumers)
}

func scriptSettingsJSON(w state.Worker) map[string]any {
	return map[string]any{
		"tags": nonNil(w.Tags), "logpush": w.Logpush,
		"observability": raw(w.Observability, map[string]any{"enabled": false}), "tail_consumers": raw(w.TailConsumers, []any{}),
	}
}

func (s *server) getScriptSettings(w http.ResponseWriter, r *http.Request) error {
	var worker state.Worker
	err := s.view(r, func(tx *state.Tx) (err error) {
		worker, err = s.worker(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, scriptSettingsJSON(worker))
}

func (s *server) patchScriptSettings(w http.ResponseWriter, r *http.Request) error {
	var patch metadata
	if err := decodeSettings(r, &patch); err != nil {
		return err
	}
	if _, err := patch.asked.check(); err != nil {
		return err
	}
	worker, err := s.changeWorker(r, func(w *state.Worker) error {
		patch.apply(w)
		return nil
	})
	if err != nil {
		return err
	}
	return api.Write(w, scriptSettingsJSON(worker))
}

// changeWorker changes what of a Worker is not part of a version.
func (s *server) changeWorker(r *http.Request, f func(*state.Worker) error) (worker state.Worker, err error) {
	defer s.workers.lock(r.PathValue("script"))()
	err = s.update(r, func(tx *state.Tx) error {
		if worker, err = s.worker(tx, r); err != nil {
			return err
		}
		if err := f(&worker); err != nil {
			return err
		}
		return tx.PutWorker(&worker)
	})
	return worker, err
}

func (s *server) getAccountSettings(w http.ResponseWriter, r *http.Request) error {
	return api.Write(w, map[string]any{"default_usage_model": "standard", "green_compute": false})
}

package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control/state"
)

// putScript uploads a version and deploys it at once, with its migrations.
func (s *server) putScript(w http.ResponseWriter, r *http.Request) error {
	u, err := readUpload(w, r)
	if err != nil {
		return err
	}
	d, err := s.begin(r, r.PathValue("script"), u.Migrations.fromScripts()...)
	if err != nil {
		return err
	}
	defer d.end()
	if err := d.fill(u, r.URL.Query().Get("bindings_inherit") == "strict"); err != nil {
		return err
	}
	d.Annotations = annotate(d.Annotations, "upload")
	if err := d.check(); err != nil {
		return err
	}
	d.worker.LastDeployedFrom = d.Source
	d.worker.Classes, d.worker.MigrationTag = d.Classes, d.MigrationTag
	u.apply(&d.worker)
	if err := d.storeDeployed(d.Annotations); err != nil {
		return err
	}
	result := scriptJSON(d.worker, &d.Version)
	result["deployment_id"] = d.ID
	result["startup_time_ms"] = d.Startup.Milliseconds()
	result["warnings"] = nonNil(d.warnings)
	return api.Write(w, result)
}

func or(a, b json.RawMessage) json.RawMessage {
	if len(a) > 0 {
		return a
	}
	return b
}

// scriptJSON is a Worker as the script endpoints show it; v may be nil.
func scriptJSON(w state.Worker, v *state.Version) map[string]any {
	m := map[string]any{
		"id": w.Name, "tag": w.ID, "tags": nonNil(w.Tags), "created_on": stamp(w.Created), "modified_on": stamp(w.Modified),
		"last_deployed_from": w.LastDeployedFrom, "logpush": w.Logpush, "usage_model": "standard",
		"observability": raw(w.Observability, map[string]any{"enabled": false}), "tail_consumers": raw(w.TailConsumers, []any{}),
		"has_assets": false, "has_modules": false, "handlers": []string{}, "compatibility_flags": []string{},
	}
	if w.MigrationTag != "" {
		m["migration_tag"] = w.MigrationTag
	}
	if v != nil {
		m["etag"] = v.ETag
		m["handlers"] = nonNil(v.Handlers)
		m["has_assets"] = v.Assets != nil
		m["has_modules"] = !v.ServiceWorker && v.MainModule != ""
		if v.CompatibilityDate != "" {
			m["compatibility_date"] = v.CompatibilityDate
		}
		m["compatibility_flags"] = nonNil(v.CompatibilityFlags)
		m["limits"] = v.Limits
		if len(v.Placement) > 0 {
			var p struct{ Mode string }
			json.Unmarshal(v.Placement, &p) // a placement without a mode has none to show
			m["placement"], m["placement_mode"] = v.Placement, p.Mode
		}
	}
	return m
}

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// latest returns the newest version of a Worker, or nil.
func latest(tx *state.Tx, worker string) (*state.Version, error) {
	v, err := tx.LatestVersion(worker)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	return &v, err
}

func (s *server) listScripts(w http.ResponseWriter, r *http.Request) error {
	list := []map[string]any{}
	err := s.view(r, func(tx *state.Tx) error {
		workers, err := tx.Workers()
		if err != nil {
			return err
		}
		for _, x := range workers {
			v, err := latest(tx, x.Name)
			if err != nil {
				return err
			}
			list = append(list, scriptJSON(x, v))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return api.Write(w, list)
}

// getService is what wrangler asks first: does the Worker exist, and who
// deployed it last?
func (s *server) getService(w http.ResponseWriter, r *http.Request) error {
	environment, worker, err := s.environment(r)
	if err != nil {
		var e *api.Error
		if errors.As(err, &e) && e.Code == 10007 {
			return api.Errorf(http.StatusNotFound, 10090, "workers.api.error.service_not_found: the Worker %q does not exist on this account", r.PathValue("script"))
		}
		return err
	}
	return api.Write(w, map[string]any{
		"id": worker.Name, "created_on": stamp(worker.Created), "modified_on": stamp(worker.Modified),
		"default_environment": environment, "environments": []any{environment},
	})
}

func (s *server) getEnvironment(w http.ResponseWriter, r *http.Request) error {
	environment, _, err := s.environment(r)
	if err != nil {
		return err
	}
	return api.Write(w, environment)
}

// environment is the one environment that a Worker has.
func (s *server) environment(r *http.Request) (map[string]any, state.Worker, error) {
	var worker state.Worker
	var script map[string]any
	err := s.view(r, func(tx *state.Tx) (err error) {
		if worker, err = s.worker(tx, r); err != nil {
			return err
		}
		v, err := latest(tx, worker.Name)
		script = scriptJSON(worker, v)
		return err
	})
	return map[string]any{
		"environment": "production", "created_on": stamp(worker.Created), "modified_on": stamp(worker.Modified), "script": script,
	}, worker, err
}

// getWorker is how newer clients see a Worker.
func (s *server) getWorker(w http.ResponseWriter, r *http.Request) error {
	var worker state.Worker
	err := s.view(r, func(tx *state.Tx) (err error) {
		worker, err = s.worker(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{
		"id": worker.ID, "name": worker.Name, "created_on": stamp(worker.Created), "updated_on": stamp(worker.Modified),
		"tags": nonNil(worker.Tags), "logpush": worker.Logpush,
		"observability":  raw(worker.Observability, map[string]any{"enabled": false}),
		"tail_consumers": raw(worker.TailConsumers, []any{}),
		"subdomain":      s.addresses(r, worker),
	})
}

// deleteScript deletes a Worker. Without force, one that others refer to stays,
// and one that a product needs.
func (s *server) deleteScript(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("script")
	defer s.workers.lock(name)()
	if r.URL.Query().Get("force") != "true" {
		refs := s.references(name)
		if names := refs.names(); len(names) > 0 {
			return badRequest(10064, "the Worker %q cannot be deleted because other Workers refer to it: %s; delete those bindings first or use force=true",
				name, strings.Join(names, ", "))
		}
		for _, k := range s.Kinds {
			if h, ok := k.(binding.Holder); ok {
				if why := h.Holds(name); why != "" {
					return badRequest(10064, "%s", why)
				}
			}
		}
	}
	err := s.update(r, func(tx *state.Tx) error { return tx.DeleteWorker(name) })
	if err != nil {
		return orNotFound(err, notFound(name))
	}
	s.tails.drop(name)
	return api.Write(w, map[string]any{"id": name})
}

// references are the Workers with a binding to another one.
type references struct {
	services []string
	// objects has the class of the Durable Object behind each Worker's binding.
	objects map[string]string
}

// names lists the Workers.
func (r references) names() []string {
	return append(slices.Clone(r.services), slices.Sorted(maps.Keys(r.objects))...)
}

// references finds the deployed Workers with a binding to the one called name.
func (s *server) references(name string) references {
	refs := references{objects: map[string]string{}}
	for _, other := range s.state.Current().Workers {
		if other.Name == name {
			continue
		}
		calls := false
		for _, share := range other.Shares {
			for _, b := range share.Version.Bindings {
				for _, to := range s.kinds.Refer(b) {
					switch {
					case to.Worker != name:
					case to.Class != "":
						refs.objects[other.Name] = to.Class
					default:
						calls = true
					}
				}
			}
		}
		if calls {
			refs.services = append(refs.services, other.Name)
		}
	}
	return refs
}

func (s *server) getReferences(w http.ResponseWriter, r *http.Request) error {
	if err := s.view(r, func(tx *state.Tx) error { _, err := s.worker(tx, r); return err }); err != nil {
		return err
	}
	refs := s.references(r.PathValue("script"))
	incoming, objects := []any{}, []any{}
	for _, name := range refs.services {
		incoming = append(incoming, map[string]any{"service": name, "environment": "production"})
	}
	for _, name := range slices.Sorted(maps.Keys(refs.objects)) {
		objects = append(objects, map[string]any{
			"service": name, "durable_object_namespace_name": namespaceName(r.PathValue("script"), refs.objects[name]),
		})
	}
	return api.Write(w, map[string]any{
		"services":        map[string]any{"incoming": incoming, "outgoing": []any{}, "pages_function": false},
		"durable_objects": objects, "dispatch_outbounds": []any{},
	})
}

// putContent deploys other code with the settings of the newest version.
func (s *server) putContent(w http.ResponseWriter, r *http.Request) error {
	u, err := readUpload(w, r)
	if err != nil {
		return err
	}
	d, err := s.begin(r, r.PathValue("script"))
	if err != nil {
		return err
	}
	defer d.end()
	if d.before == nil {
		return notFound(d.worker.Name)
	}
	d.copyBefore()
	d.MainModule, d.ServiceWorker, d.Modules = u.MainModule+u.BodyPart, u.BodyPart != "", nil
	if err := d.storeModules(u.modules); err != nil {
		return err
	}
	d.Annotations = annotate(nil, "upload")
	if err := d.check(); err != nil {
		return err
	}
	if err := d.storeDeployed(d.Annotations); err != nil {
		return err
	}
	return api.Write(w, scriptJSON(d.worker, &d.Version))
}

// getContent downloads the modules of the newest version, or of ?version=.
func (s *server) getContent(w http.ResponseWriter, r *http.Request) error {
	var v state.Version
	err := s.view(r, func(tx *state.Tx) error {
		worker, err := s.worker(tx, r)
		if err != nil {
			return err
		}
		if id := r.URL.Query().Get("version"); id != "" {
			v, err = tx.Version(worker.Name, id)
		} else {
			v, err = tx.LatestVersion(worker.Name)
		}
		return orNotFound(err, noVersion(r.URL.Query().Get("version")))
	})
	if err != nil {
		return err
	}
	if v.ServiceWorker {
		data, err := s.state.ModuleData(v.Modules[0])
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", string(config.CommonJSModule))
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, err = w.Write(data)
		return err
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, m := range v.Modules {
		data, err := s.state.ModuleData(m)
		if err != nil {
			return err
		}
		part, err := form.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {multipart.FileContentDisposition(m.Name, m.Name)},
			"Content-Type":        {string(m.Type)},
		})
		if err != nil {
			return err
		}
		part.Write(data) // to memory
	}
	if err := form.Close(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", form.FormDataContentType())
	w.Header().Set("cf-entrypoint", v.MainModule)
	w.Header().Set("ETag", strconv.Quote(v.ETag))
	_, err = w.Write(body.Bytes())
	return err
}

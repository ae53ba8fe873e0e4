package control

import (
	"errors"
	"net/http"
	"slices"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/state"
)

// namespaceName is what Cloudflare calls the objects of a Worker's class.
func namespaceName(worker, class string) string { return worker + "_" + class }

// listContainers answers `wrangler delete`, which asks whether the Worker's
// Durable Objects have Containers and warns of bills when it is not told: there
// are none.
func (s *server) listContainers(w http.ResponseWriter, r *http.Request) error {
	return api.Write(w, []any{})
}

// listNamespaces lists the Durable Object classes of all Workers.
func (s *server) listNamespaces(w http.ResponseWriter, r *http.Request) error {
	list := []map[string]any{}
	err := s.view(r, func(tx *state.Tx) error {
		workers, err := tx.Workers()
		for _, worker := range workers {
			for _, c := range worker.Classes {
				list = append(list, map[string]any{
					"id": c.Key, "name": namespaceName(worker.Name, c.Name), "script": worker.Name, "class": c.Name, "use_sqlite": c.SQLite,
				})
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	page, info := api.Paginate(r, list, 20)
	return api.WriteList(w, page, info)
}

// checkClasses refuses bindings to Durable Object classes that nobody has. The
// version's own migrations count.
func (d *draft) checkClasses() error {
	for _, b := range d.Bindings {
		for _, to := range d.s.kinds.Refer(b) {
			if to.Class == "" {
				continue
			}
			if err := d.checkClass(to.Worker, to.Class); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *draft) checkClass(worker, class string) error {
	const hint = "it is not currently configured to implement Durable Objects. Ensure a --new-class migration has been applied to it."
	if worker == "" || worker == d.worker.Name {
		switch {
		case hasClass(d.Classes, class):
			return nil
		case d.before != nil && hasClass(d.before.Classes, class):
			return badRequest(10061, "Cannot apply --delete-class migration to class '%s' without also removing the binding that references it.", class)
		}
		return badRequest(10061, "Cannot create binding for class '%s' because %s", class, hint)
	}
	return d.s.view(d.r, func(tx *state.Tx) error {
		other, err := tx.Worker(worker)
		switch {
		case errors.Is(err, state.ErrNotFound):
			return badRequest(10061, "Cannot create binding for class in script '%s' that does not exist.", worker)
		case err != nil:
			return err
		case !hasClass(other.Classes, class):
			return badRequest(10061, "Cannot create binding for class '%s' in script '%s' because %s", class, worker, hint)
		}
		return nil
	})
}

func hasClass(list []state.Class, name string) bool {
	return slices.ContainsFunc(list, func(c state.Class) bool { return c.Name == name })
}

// migrate applies migrations to the draft.
func (d *draft) migrate(m *migrations) error {
	others := map[string]*state.Worker{}
	owner := func(script string) (*state.Worker, error) {
		if w := others[script]; w != nil {
			return w, nil
		}
		w := &state.Worker{}
		others[script] = w
		return w, d.s.view(d.r, func(tx *state.Tx) (err error) {
			if script == d.worker.Name {
				return badRequest(10061, "Cannot apply transfer-class migration from script '%s' to itself; use renamed_classes", script)
			}
			if *w, err = tx.Worker(script); errors.Is(err, state.ErrNotFound) {
				return badRequest(10061, "Cannot apply transfer-class migration from script '%s' that does not exist.", script)
			}
			return err
		})
	}
	var err error
	if d.Classes, d.taken, err = m.apply(d.worker.Classes, d.worker.MigrationTag, state.NewID, owner); err != nil {
		return err
	}
	for _, was := range d.worker.Classes {
		for _, is := range d.Classes {
			if is.Key == was.Key && is.Name != was.Name {
				d.worker.Move(state.Moved{Name: was.Name, Worker: d.worker.Name, Class: is.Name, Key: is.Key})
			}
		}
	}
	d.MigrationTag = m.NewTag
	return nil
}

// storeMoves takes the transferred classes from their Workers, and notes with
// all who had one of the draft's classes where it is.
func (d *draft) storeMoves(tx *state.Tx) error {
	for _, t := range d.taken {
		w, err := tx.Worker(t.from.Name)
		if err != nil {
			return err
		}
		w.Classes = slices.DeleteFunc(w.Classes, func(c state.Class) bool { return c.Key == t.class.Key })
		w.Move(state.Moved{Name: t.name, Key: t.class.Key})
		if err := tx.PutWorker(&w); err != nil {
			return err
		}
	}
	workers, err := tx.Workers()
	if err != nil {
		return err
	}
	for _, w := range workers {
		stale := false
		for i, m := range w.Moved {
			at := slices.IndexFunc(d.Classes, func(c state.Class) bool { return c.Key == m.Key })
			if at >= 0 && (m.Worker != d.worker.Name || m.Class != d.Classes[at].Name) {
				w.Moved[i].Worker, w.Moved[i].Class, stale = d.worker.Name, d.Classes[at].Name, true
			}
		}
		if stale {
			if err := tx.PutWorker(&w); err != nil {
				return err
			}
		}
	}
	return nil
}

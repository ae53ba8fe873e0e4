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

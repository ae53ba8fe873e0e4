package control

import (
	"net/http"

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

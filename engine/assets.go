package engine

import (
	"net/http"

	"github.com/selvage-edge/selvage/config"
)

// serve answers a request by version v.
func (e *Engine) serve(w http.ResponseWriter, r *http.Request, wk *worker, v *config.Version) error {
	return e.forward(w, r, wk, v)
}

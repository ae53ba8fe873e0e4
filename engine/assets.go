package engine

import (
	"errors"
	"net/http"
	"sync"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/fault"
)

// serve answers a request by version v: by its static assets where they come
// first, else by its code.
func (e *Engine) serve(w http.ResponseWriter, r *http.Request, wk *worker, v *config.Version) error {
	worker := e.programs.Find(wk.name)
	answer := func(w http.ResponseWriter, r *http.Request) error {
		if worker != nil {
			return worker.Serve(w, r, v, nil)
		}
		return e.forward(w, r, wk, v)
	}
	if v.Assets == nil {
		return answer(w, r)
	}
	front, err := wk.front(v)
	if err != nil {
		return fault.StartFailed.With(err.Error(), err)
	}
	if v.MainModule == "" && worker == nil {
		front(w, r, nil)
		return nil
	}
	front(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err = answer(w, r)
	}))
	return err
}

// compiledAssets are the assets of one version.
type compiledAssets struct {
	once  sync.Once
	front binding.Front
	err   error
}

// front compiles the rules of a version's assets the first time.
func (w *worker) front(v *config.Version) (binding.Front, error) {
	w.mu.Lock()
	c := w.compiled[v.ID]
	if c == nil {
		c = &compiledAssets{}
		w.compiled[v.ID] = c
	}
	w.mu.Unlock()
	c.once.Do(func() {
		if w.e.fronter == nil {
			c.err = errors.New("no kind of binding here serves static assets")
			return
		}
		var warnings []string
		c.front, warnings, c.err = w.e.fronter.Front(v)
		for _, text := range warnings {
			w.e.o.Logger.Warn(text, "worker", v.Worker)
		}
	})
	return c.front, c.err
}

package control

import (
	"net/http"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/cron"
)

// MaxSchedules is the number of cron triggers of a Worker.
const MaxSchedules = 250

func schedulesJSON(w state.Worker) map[string]any {
	list := w.Schedules
	if list == nil {
		list = []state.Schedule{}
	}
	return map[string]any{"schedules": list}
}

func (s *server) getSchedules(w http.ResponseWriter, r *http.Request) error {
	var worker state.Worker
	err := s.view(r, func(tx *state.Tx) (err error) {
		worker, err = s.worker(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, schedulesJSON(worker))
}

// getRuns lists the last runs of the Worker's cron triggers, the latest first.
// Cloudflare shows them in its dashboard only, as past events.
func (s *server) getRuns(w http.ResponseWriter, r *http.Request) error {
	err := s.view(r, func(tx *state.Tx) error {
		_, err := s.worker(tx, r)
		return err
	})
	runs := []cron.Run{}
	if err == nil && s.Crons != nil {
		runs, err = s.Crons.Runs(r.PathValue("script"))
	}
	if err != nil {
		return err
	}
	list, info := api.Paginate(r, runs, cron.MaxRuns)
	return api.WriteList(w, list, info)
}

// putSchedules replaces all cron triggers.
func (s *server) putSchedules(w http.ResponseWriter, r *http.Request) error {
	var body []struct {
		Cron string `json:"cron"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	if len(body) > MaxSchedules {
		return badRequest(10072, "a Worker has at most %d cron triggers, not %d", MaxSchedules, len(body))
	}
	for _, x := range body {
		if _, err := cron.Parse(x.Cron); err != nil {
			return badRequest(10100, "invalid cron string '%s': %v", x.Cron, err)
		}
	}
	now := s.state.Now()
	worker, err := s.changeWorker(r, func(w *state.Worker) error {
		created := map[string]state.Schedule{}
		for _, old := range w.Schedules {
			created[old.Cron] = old
		}
		w.Schedules = nil
		seen := map[string]bool{}
		for _, x := range body {
			if seen[x.Cron] {
				continue
			}
			seen[x.Cron] = true
			schedule := state.Schedule{Cron: x.Cron, Created: now, Modified: now}
			if old, ok := created[x.Cron]; ok {
				schedule = old
			}
			w.Schedules = append(w.Schedules, schedule)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return api.Write(w, schedulesJSON(worker))
}

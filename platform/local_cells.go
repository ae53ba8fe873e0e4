package platform

import (
	"net/http"
	"time"

	"github.com/selvage-edge/selvage/api"
)

// CellInfo is a process in which a Worker runs, as GET /local/cells tells of
// it.
type CellInfo struct {
	Worker  string `json:"worker"`
	Version string `json:"version"`
	PID     int    `json:"pid"`
	// State is "running" or "draining".
	State   string    `json:"state"`
	Started time.Time `json:"started"`
	// Memory is resident, in bytes.
	Memory int64 `json:"memory"`
	// CPU is the processor time used so far, in seconds.
	CPU      float64 `json:"cpu"`
	InFlight int     `json:"in_flight"`
	Restarts int     `json:"restarts"`
	// Inspector is the address of the DevTools protocol, if any.
	Inspector string `json:"inspector,omitempty"`
	// Config is workerd's configuration without secrets. Only
	// GET /local/cells/{worker} has it.
	Config string `json:"config,omitempty"`
}

// localRoutes are what the command line asks a running platform.
func (p *Platform) localRoutes() []api.Route {
	return []api.Route{
		{Method: http.MethodGet, Path: "/local/cells", Handle: func(w http.ResponseWriter, r *http.Request) error {
			list := p.cells("")
			for i := range list {
				list[i].Config = ""
			}
			return api.Write(w, list)
		}},
		{Method: http.MethodGet, Path: "/local/cells/{worker}", Handle: func(w http.ResponseWriter, r *http.Request) error {
			return api.Write(w, p.cells(r.PathValue("worker")))
		}},
	}
}

// cells lists the cells of a Worker, or of all.
func (p *Platform) cells(worker string) []CellInfo {
	list := []CellInfo{}
	for _, c := range p.Engine.Cells() {
		if worker == "" || c.Worker == worker {
			list = append(list, CellInfo{
				Worker: c.Worker, Version: c.Version, PID: c.PID, State: c.State, Started: c.Started.UTC(), Memory: c.Memory,
				CPU: c.CPU.Seconds(), InFlight: c.InFlight, Restarts: c.Restarts, Inspector: c.Inspector, Config: c.Outline,
			})
		}
	}
	return list
}

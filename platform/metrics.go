package platform

import (
	"context"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/engine/program"
	"github.com/selvage-edge/selvage/telemetry"
)

// access tells both the metrics and next of finished requests.
func access(m *telemetry.Metrics, next func(edge.Record)) func(edge.Record) {
	if m == nil {
		return next
	}
	return func(r edge.Record) {
		code := -1
		if r.Fault != nil {
			code = r.Fault.Code
		}
		m.Request(r.Worker, r.Status, code, r.Duration)
		if next != nil {
			next(r)
		}
	}
}

// calls tells both the metrics and next of calls to bindings.
func calls(m *telemetry.Metrics, next func(telemetry.Call)) func(telemetry.Call) {
	switch {
	case m == nil:
		return next
	case next == nil:
		return m.Call
	}
	return func(c telemetry.Call) {
		m.Call(c)
		next(c)
	}
}

// measure adds what can be asked for at any time.
func (p *Platform) measure(m *telemetry.Metrics) {
	for _, k := range p.Stores.Kinds {
		if k, ok := k.(binding.Measurer); ok {
			k.Measure(m)
		}
	}
	m.Depth("memory of calls", func() int { return p.Stores.memory.Stats().Waiting })
	m.Gauge("selvage_call_memory_bytes", "Memory lent to calls of bindings.", nil,
		func() float64 { return float64(p.Stores.memory.Stats().Used) })
	m.Depth("cell starts", func() int { return p.Engine.Stats().Waiting })
	m.Depth("internal requests", p.Edge.Internal)
	m.Gauge("selvage_connections", "Connections open at the edge.", nil, func() float64 { return float64(p.Edge.Connections()) })
	m.Gauge("selvage_deployed_workers", "Workers with a deployment.", nil, func() float64 { return float64(len(p.source.Current().Workers)) })
	m.Counter("selvage_cell_starts_total", "Cells started.", func() float64 { return float64(p.Engine.Stats().Starts) })
	m.Counter("selvage_cell_restarts_total", "Cells that ended unexpectedly.", func() float64 { return float64(p.Engine.Stats().Crashes) })
	for _, state := range []string{"running", "draining"} {
		m.Gauge("selvage_cells", "Cells that run, by state.", map[string]string{"state": state}, func() float64 {
			n := 0
			for _, c := range p.Engine.Cells() {
				if c.State == state {
					n++
				}
			}
			return float64(n)
		})
	}
	m.Gauge("selvage_cell_memory_bytes", "Resident memory of all cells; shared pages count in each.", nil, func() float64 {
		var sum int64
		for _, c := range p.Engine.Cells() {
			sum += c.Memory
		}
		return float64(sum)
	})
	for _, w := range p.Engine.Programs() {
		labels := map[string]string{"worker": w.Worker}
		info := func(f func(program.Info) float64) func() float64 {
			return func() float64 {
				for _, i := range p.Engine.Programs() {
					if i.Worker == w.Worker {
						return f(i)
					}
				}
				return 0
			}
		}
		m.Gauge("selvage_program_in_flight", "Requests and events in Workers written in Go.", labels,
			info(func(i program.Info) float64 { return float64(i.InFlight) }))
		m.Gauge("selvage_program_waiting", "Those that have answered and whose WaitUntil functions run.", labels,
			info(func(i program.Info) float64 { return float64(i.Waiting) }))
		m.Gauge("selvage_program_oldest_seconds", "For how long the oldest of both has been running.", labels,
			info(func(i program.Info) float64 { return i.Oldest.Seconds() }))
	}
	m.Gauge("selvage_requests_in_flight", "Requests and events in cells.", nil, func() float64 {
		n := 0
		for _, c := range p.Engine.Cells() {
			n += c.InFlight
		}
		return float64(n)
	})
}

// Room reports that the disk is too full to write to: an error that is ENOSPC.
func (s *Stores) Room() error { return s.keyed.Room() }

// Ping asks the stores whether they answer.
func (s *Stores) Ping(ctx context.Context) error {
	return s.State.View(ctx, func(tx *state.Tx) error {
		_, err := tx.Setting("account")
		return err
	})
}

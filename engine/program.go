package engine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/program"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/telemetry"
)

// mountProgram leads a service binding of a cell to a Worker in Go. It has one
// entrypoint and speaks fetch only.
func (e *Engine) mountProgram(p *plan, name string, m binding.Mount) workerd.Value {
	peer := *m.Peer
	if peer.Entrypoint != "" {
		p.service(thrower(name))
		return redirect(m.Value, name, workerd.ServiceDesignator{Name: name, Props: absentProps(peer.Worker, peer.Entrypoint)})
	}
	p.serve(e, name, e.peerHandler(peer))
	const module = "selvage:program"
	if !slices.ContainsFunc(p.config.Extensions, func(x workerd.ExtensionModule) bool { return x.Name == module }) {
		p.config.Extensions = append(p.config.Extensions, workerd.ExtensionModule{Name: module, Internal: true, Source: programModule})
	}
	return workerd.WrappedValue{Module: module, Inner: []workerd.Binding{
		{Name: "service", Value: m.Value},
		{Name: "message", Value: workerd.TextValue(fmt.Sprintf("Worker %q is written in Go and can be called by fetch() only.", peer.Worker))},
	}}
}

// programModule is env's view of a Worker in Go: a service without RPC. Left to
// itself workerd would say that the network connection was lost.
const programModule = `export default function ({ service, message }) {
  return new Proxy(service, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name === "fetch") return value.bind(target);
      if (typeof name === "symbol" || name === "then" || name === "toJSON" || name in Object.prototype) return value;
      return async () => { throw new Error(name + "(): " + message) };
    },
  });
}
`

// peerHandler answers the calls of other cells for a Worker in Go. A fault is
// answered as the edge would, in a line of text.
func (e *Engine) peerHandler(peer binding.Peer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		record := recordOf(r)
		r = r.WithContext(telemetry.WithRequest(r.Context(), record))
		err := e.Call(w, r, peer)
		if err == nil {
			return
		}
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler)
		}
		f := fault.From(err)
		e.o.Logger.Error("call of a service binding failed", "worker", peer.Worker, "ray", record.Ray, "err", err)
		text := f.Title
		if f.Code != 0 {
			text = fmt.Sprintf("error code: %d", f.Code)
		}
		http.Error(w, text, f.Status)
	})
}

// recordOf makes the record of a request that came from a cell, and removes the
// private headers.
func recordOf(r *http.Request) *telemetry.Request {
	record := &telemetry.Request{Scheme: "http", Start: time.Now()}
	if r.Header.Get(hop.ProtoHeader) == "https" {
		record.Scheme = "https"
	}
	if cf := r.Header.Get(hop.CFHeader); json.Valid([]byte(cf)) {
		record.CF = json.RawMessage(cf)
	}
	delete(r.Header, hop.ProtoHeader)
	delete(r.Header, hop.CFHeader)
	// A Worker that passes its request on passes these on, too.
	if record.Ray = rayOf(r.Header); record.Ray == "" {
		record.Ray = telemetry.NewRay()
	}
	record.ClientIP, _ = netip.ParseAddr(r.Header.Get("Cf-Connecting-Ip"))
	return record
}

// Call answers r by a Worker as a service binding does: no preview and no
// version override has a say. It is how Workers in Go call others, and obeys
// Dispatch's rules. Only fetch's default entrypoint can be called.
func (e *Engine) Call(w http.ResponseWriter, r *http.Request, peer binding.Peer) error {
	if peer.Entrypoint != "" {
		return fault.NotConfigured.With(fmt.Sprintf("The entrypoint %q of Worker %q can be called by Workers in JavaScript only.", peer.Entrypoint, peer.Worker), nil)
	}
	p := e.programs.Find(peer.Worker)
	if p == nil {
		return e.Dispatch(w, r, peer.Worker, "")
	}
	v, err := e.programVersion(peer.Worker)
	if err != nil {
		return err
	}
	if peer.Props != "" {
		return p.Serve(w, r, v, json.RawMessage(peer.Props))
	}
	e.mu.Lock()
	wk := e.workerLocked(peer.Worker)
	e.mu.Unlock()
	return e.serve(w, r, wk, v)
}

// host makes the host of the Workers in Go.
func (e *Engine) host() *program.Host {
	report := e.o.Invocations
	e.o.Invocations = func(i telemetry.Invocation) {
		report(i)
		e.programs.Tell(i)
	}
	h := program.NewHost(program.Options{
		Deployed: e.programVersion, Observed: e.isObserved, Lines: e.o.Lines, Invocations: e.o.Invocations, Logger: e.o.Logger,
	}, e.o.Programs)
	if _, all := h.TailOf(); all {
		e.o.Observe = true
	}
	return h
}

// observeTails attaches tail Workers to the Workers that those in Go listen to.
func (e *Engine) observeTails() {
	if names, all := e.programs.TailOf(); !all {
		for _, name := range names {
			e.Observe(name)
		}
	}
}

// isObserved: somebody wants the tail events of the Worker.
func (e *Engine) isObserved(name string) bool {
	if e.o.Observe {
		return true
	}
	e.mu.Lock()
	w := e.workers[name]
	e.mu.Unlock()
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.observers > 0
}

// Programs describes the Workers in Go, by name.
func (e *Engine) Programs() []program.Info { return e.programs.Infos() }

// programVersion finds the version of a Worker in Go. Unlike lookup it does so
// while the engine closes, for what the last cells still ask.
func (e *Engine) programVersion(name string) (*config.Version, error) {
	e.mu.Lock()
	w := e.workerLocked(name)
	e.mu.Unlock()
	return w.choose(nil, "")
}

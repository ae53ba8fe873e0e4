package engine

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/hop"
	"github.com/selvage-edge/selvage/hop/ask"
)

// The names of the services and sockets of a cell.
const (
	userService   = "user"
	shimService   = "shim"
	tailService   = "tail"
	probeService  = "probe"
	absentService = "absent"
	diskService   = "objects"
	// egressService has the name of the service that workerd would otherwise
	// add by itself: one with access to the network, which reads the system's
	// certificates at each start and does not start without any.
	egressService = "internet"

	userSocket  = "fetch"
	eventSocket = "events"
)

// shimDate is the compatibility date of our own Workers, whatever the tenants'.
const shimDate = "2026-11-01"

// oldestDate applies to versions without a compatibility date.
const oldestDate = "2021-11-02"

//go:embed shim.js
var shimSource string

//go:embed email.js
var emailSource string

// builtins are modules that the runtime's own import and do not come with it, and
// what our own import. Nothing compiles them before they are imported.
var builtins = []workerd.ExtensionModule{
	{Name: "cloudflare-internal:email", Internal: true, Source: emailSource},
	ask.Module(),
}

// plan is the configuration of one cell and what it holds outside of it.
type plan struct {
	config *workerd.Config
	// outline is config without secrets, for whoever asks what runs.
	outline string
	// mark tells our marks in the Worker's console lines from its own text.
	mark mark
	// attributed: the Worker has our main module, which reads the tags of events.
	attributed bool
	// sockets are the listening descriptors by socket name; own are those that
	// belong to this cell alone.
	sockets map[string]*os.File
	own     []*os.File
	// spare is the process that it is for, until that runs; nil for a new one.
	spare *spare
	// userSocket and eventSocket are paths.
	userSocket, eventSocket string
	// called: other cells may call this one. callees are the Workers it calls.
	called  bool
	callees map[string]bool
	// remote are the Durable Object classes of other processes that it reaches.
	remote []remoteClass
	// calls are the requests to our handlers that are not answered yet.
	calls    atomic.Int64
	further  bool // as in planOptions
	discards []func()
	// warnings are those of the bindings.
	warnings []string
}

// planOptions say what differs from cell to cell of one version.
type planOptions struct {
	// peers are the sockets on which other cells call this one.
	peers map[peerKey]peerSocket
	// observed: there is a tail Worker; looking: it reports from the start.
	observed, looking bool
	// absent are the entrypoints that the version is known not to export.
	absent map[string]bool
	// objects is the folder of the Durable Objects. A further cell has none: it
	// reaches them by the Worker's own sockets.
	objects string
	further bool
	// inspected: DevTools show the console lines as they are.
	inspected bool
	// standIn: the version is ours, and its message is why the Worker's does not run.
	standIn bool
	// trial: the cell serves nobody, so nobody needs to hear of it. It has the
	// service that lists the exports.
	trial bool
}

// plan makes the configuration of a cell of v. Discard it when the cell is gone.
func (e *Engine) plan(ctx context.Context, v *config.Version, o planOptions) (_ *plan, err error) {
	p := &plan{config: &workerd.Config{Extensions: slices.Clone(builtins)}, mark: newMark(), sockets: map[string]*os.File{}, further: o.further, called: called(o.peers), callees: map[string]bool{}}
	defer func() {
		if err != nil {
			p.discard()
		}
	}()
	user, modules, err := userWorker(ctx, v)
	if err != nil {
		return nil, err
	}
	var far []string
	if o.further {
		if far, err = p.reachHome(user, v, o.peers); err != nil {
			return nil, err
		}
	}
	home := recovers(v) && !o.further && !o.trial
	if x, ok := p.mark.attribute(user, v, !o.inspected, far, home); ok {
		p.attributed = true
		if home {
			p.extend(recoveryModule)
			user.Bindings = append(user.Bindings, workerd.Binding{Name: recoveryBinding, Value: workerd.ServiceValue{Name: p.serve(e, recoveryService, e.recovery.serve(v))}})
		}
		p.config.Extensions = append(p.config.Extensions, x)
	} else if o.further {
		return nil, errors.New("the main module is no ES module")
	}
	names := map[string]bool{}
	for _, b := range v.Bindings {
		if names[b.Name] {
			return nil, fmt.Errorf("binding %s: the name is used twice", b.Name)
		}
		names[b.Name] = true
		value, err := e.mount(ctx, p, v, b, o.trial)
		if err != nil {
			return nil, err
		}
		user.Bindings = append(user.Bindings, workerd.Binding{Name: b.Name, Value: value})
	}
	if len(p.remote) > 0 {
		p.service(p.remoteWorker())
	}
	berth, err := e.settle(p, !o.trial && !o.inspected && len(v.Classes) == 0 && len(o.peers) == 0)
	if err != nil {
		return nil, err
	}
	if user.GlobalOutbound, err = p.serveAlone(e, egressService, berth, e.timed(p, v, "fetch", "fetch", e.o.Egress(v))); err != nil {
		return nil, err
	}
	user.CacheAPI = p.serve(e, "cache", e.o.Cache(v))
	if o.observed {
		user.Tails = []string{tailService}
		p.service(e.tail(p, v, o.looking))
	}
	if len(v.Classes) > 0 && !o.further {
		if err := os.MkdirAll(o.objects, 0o700); err != nil {
			return nil, fmt.Errorf("make folder for Durable Objects: %w", err)
		}
		user.Storage = diskService
		p.service(workerd.Service{Name: diskService, Disk: &workerd.Disk{Path: o.objects, Writable: true}})
	}
	for _, c := range v.Classes {
		user.Classes = append(user.Classes, workerd.DurableClass{ClassName: c.Name, UniqueKey: c.Key, SQL: c.SQLite})
	}
	p.service(workerd.Service{Name: userService, Worker: user})
	shim := &workerd.Worker{
		Modules:            []workerd.Module{{Name: "shim.js", Kind: workerd.ESModule, Data: []byte(shimSource)}},
		CompatibilityDate:  shimDate,
		CompatibilityFlags: []string{"service_binding_extra_handlers"},
		Bindings:           []workerd.Binding{{Name: "USER", Value: workerd.ServiceValue{Name: userService}}},
		GlobalOutbound:     egressService,
	}
	shim.Bindings = append(shim.Bindings, classBindings(v)...)
	e.attend(p, v, shim, o.trial)
	if o.observed {
		shim.Bindings = append(shim.Bindings, workerd.Binding{Name: "TAIL", Value: workerd.ServiceValue{Name: tailService}})
	}
	if o.trial && !v.ServiceWorker {
		p.service(probe(v, modules))
		shim.Bindings = append(shim.Bindings, workerd.Binding{Name: "PROBE", Value: workerd.ServiceValue{Name: probeService}})
	}
	p.service(workerd.Service{Name: shimService, Worker: shim})
	// A quarter: V8 does not see what its garbage holds outside of its heap, and
	// collects too late for the watchdog's patience if it may grow for long.
	p.config.V8Flags = []string{"--max-old-space-size=" + strconv.FormatInt(max(e.o.MaxMemory/4>>20, 64), 10)}

	headers := workerd.HTTPOptions{ForwardedProto: hop.ProtoHeader, CfBlob: hop.CFHeader}
	p.userSocket, p.eventSocket = berth.user, berth.events
	p.listen(userSocket, berth.files[userSocket], headers, workerd.ServiceDesignator{Name: userService})
	p.listen(eventSocket, berth.files[eventSocket], headers, workerd.ServiceDesignator{Name: shimService})
	headers.CapnpConnectHost = connectHost
	needAbsent, needGate := false, false
	for key, peer := range o.peers {
		to := workerd.ServiceDesignator{Name: userService, Entrypoint: key.entrypoint, Props: key.props}
		switch {
		case key.class != "" && o.further:
			continue
		case key.class != "":
			needGate = true
			to = workerd.ServiceDesignator{Name: gateService, Props: gateProps(v, o.standIn, key.class)}
		case o.absent[key.entrypoint] && key.entrypoint != "":
			needAbsent = true
			to = workerd.ServiceDesignator{Name: absentService, Props: absentProps(v.Worker, key.entrypoint)}
		}
		name := "rpc " + strconv.Itoa(len(p.sockets))
		p.listen(name, peer.file, headers, to)
	}
	if needAbsent {
		p.service(thrower(absentService))
	}
	if needGate {
		p.service(p.gate(v))
	}
	p.outline = p.config.Outline()
	return p, nil
}

// mount puts one binding into the plan.
func (e *Engine) mount(ctx context.Context, p *plan, v *config.Version, b config.Binding, trial bool) (workerd.Value, error) {
	kind, err := e.kinds.Of(b)
	if err != nil {
		return nil, err
	}
	if maker, ok := kind.(binding.Maker); ok && e.o.MakeMissing {
		if err := maker.Make(ctx, b); err != nil {
			return nil, err
		}
	}
	name := "binding " + b.Name
	m, err := kind.Mount(b, binding.Site{Version: v, Service: name})
	if err != nil {
		return nil, err
	}
	if _, wrapped := m.Value.(workerd.WrappedValue); wrapped && v.ServiceWorker {
		return nil, fmt.Errorf("binding %s (%s): scripts that use addEventListener cannot have it; write the Worker as a module", b.Name, b.Type)
	}
	if m.Warning != "" {
		p.warnings = append(p.warnings, m.Warning)
	}
	for _, x := range m.Modules {
		i := slices.IndexFunc(p.config.Extensions, func(y workerd.ExtensionModule) bool { return x.Name == y.Name })
		switch {
		case i < 0:
			p.config.Extensions = append(p.config.Extensions, x)
		case p.config.Extensions[i] != x:
			return nil, fmt.Errorf("binding %s: extension module %s is given twice with different texts", b.Name, x.Name)
		}
	}
	switch {
	case m.Class != "":
		return e.mountClass(p, name, binding.Reference{Peer: *m.Peer, Class: m.Class}, trial)
	case m.Peer != nil && m.Peer.Worker == v.Worker:
		return redirect(m.Value, name, workerd.ServiceDesignator{Name: userService, Entrypoint: m.Peer.Entrypoint, Props: m.Peer.Props}), nil
	case m.Peer != nil && e.programs.Find(m.Peer.Worker) != nil:
		return e.mountProgram(p, name, m), nil
	case m.Peer != nil:
		return m.Value, e.reach(p, name, binding.Reference{Peer: *m.Peer}, trial)
	case m.Handler != nil:
		p.serve(e, name, e.timed(p, v, b.Name, b.Type, m.Handler))
	}
	return m.Value, nil
}

// reach makes the service that leads to another cell.
func (e *Engine) reach(p *plan, service string, r binding.Reference, trial bool) (err error) {
	path := e.run.join("nobody")
	if !trial {
		if path, err = e.peerPath(r); err != nil {
			return fmt.Errorf("%s: %w", service, err)
		}
	}
	p.callees[r.Worker] = true
	p.service(workerd.Service{Name: service, External: peerService(path)})
	return nil
}

// peerService leads to the cell that listens at path.
func peerService(path string) *workerd.External {
	return &workerd.External{
		Address: "unix:" + path,
		HTTP:    workerd.HTTPOptions{ForwardedProto: hop.ProtoHeader, CfBlob: hop.CFHeader, CapnpConnectHost: connectHost},
	}
}

// redirect makes a value that leads to the external service from lead to a
// service of the same process.
func redirect(v workerd.Value, from string, to workerd.ServiceDesignator) workerd.Value {
	switch v := v.(type) {
	case workerd.ServiceValue:
		if v.Name == from {
			return workerd.ServiceValue(to)
		}
	case workerd.WrappedValue:
		inner := slices.Clone(v.Inner)
		for i := range inner {
			inner[i].Value = redirect(inner[i].Value, from, to)
		}
		v.Inner = inner
		return v
	}
	return v
}

func (p *plan) service(s workerd.Service) { p.config.Services = append(p.config.Services, s) }

// serve adds an external service that h answers, and returns its name.
func (p *plan) serve(e *Engine, name string, h http.Handler) string {
	token := e.bindings.admit(p.counted(h))
	p.discards = append(p.discards, func() { e.bindings.revoke(token) })
	p.service(workerd.Service{Name: name, External: &workerd.External{
		Address: "unix:" + e.bindings.path,
		HTTP: workerd.HTTPOptions{ForwardedProto: hop.ProtoHeader, CfBlob: hop.CFHeader,
			InjectRequestHeaders: []workerd.Header{{Name: hop.CapabilityHeader, Value: token}}},
	}})
	return name
}

// serveAlone is serve for a service that receives connect(), too: it has a
// socket of its own in place of a capability.
func (p *plan) serveAlone(e *Engine, name string, b *berth, h http.Handler) (string, error) {
	path := b.egress
	stop, err := e.bindings.listen(path, b.network, p.counted(h))
	if err != nil {
		return "", err
	}
	p.discards = append(p.discards, stop)
	p.service(workerd.Service{Name: name, External: &workerd.External{
		Address: "unix:" + path,
		HTTP:    workerd.HTTPOptions{ForwardedProto: hop.ProtoHeader, CfBlob: hop.CFHeader},
	}})
	return name, nil
}

// counted is h with its requests counted as the cell's.
func (p *plan) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.calls.Add(1)
		defer p.calls.Add(-1)
		h.ServeHTTP(w, r)
	})
}

// listen adds a socket that the cell listens on.
func (p *plan) listen(name string, f *os.File, h workerd.HTTPOptions, to workerd.ServiceDesignator) {
	p.sockets[name] = f
	p.config.Sockets = append(p.config.Sockets, workerd.Socket{Name: name, HTTP: h, Service: to})
}

// closeOwn closes our copies of the cell's sockets: when its process dies,
// connections to them are refused rather than left waiting. The configuration,
// with its secrets, is let go.
func (p *plan) closeOwn() {
	for _, f := range p.own {
		f.Close()
	}
	p.own, p.config, p.sockets = nil, nil, nil
}

// discard undoes the plan.
func (p *plan) discard() {
	if s := p.spare; s != nil {
		p.spare = nil
		s.process.Discard()
		s.ended()
		close(s.used)
	}
	p.closeOwn()
	for _, f := range p.discards {
		f()
	}
	p.discards = nil
}

// userWorker makes the user's Worker of a version, without bindings.
func userWorker(ctx context.Context, v *config.Version) (*workerd.Worker, []workerd.Module, error) {
	if v.MainModule == "" {
		return nil, nil, errors.New("the version has no main module: it consists of static assets only")
	}
	if v.Code == nil {
		return nil, nil, errors.New("the version has no code")
	}
	files, err := v.Code.Modules(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read modules of version %s: %w", v.ID, err)
	}
	w := &workerd.Worker{CompatibilityDate: v.CompatibilityDate, CompatibilityFlags: v.CompatibilityFlags}
	if w.CompatibilityDate == "" {
		w.CompatibilityDate = oldestDate
	}
	if err := checkFlags(v.CompatibilityFlags); err != nil {
		return nil, nil, err
	}
	var main bool
	for _, f := range files {
		if f.Type == config.SourceMap {
			continue
		}
		if config.ReservedModule(f.Name) {
			return nil, nil, fmt.Errorf("module %q: names that begin with selvage:, cloudflare-internal:, node-internal: or workerd: are the runtime's own; rename it", f.Name)
		}
		if v.ServiceWorker {
			if f.Name == v.MainModule {
				w.Script, main = string(f.Data), true
			}
			continue
		}
		kind, ok := moduleKinds[f.Type]
		if !ok {
			return nil, nil, fmt.Errorf("module %s has type %q, which cannot be run: use one of %s", f.Name, f.Type, moduleTypes)
		}
		m := workerd.Module{Name: f.Name, Kind: kind, Data: f.Data}
		if kind == workerd.Text {
			m.Data = bytes.TrimPrefix(m.Data, byteOrderMark) // which is not part of the text
		}
		if f.Name == v.MainModule {
			main = true
			w.Modules = slices.Insert(w.Modules, 0, m) // workerd runs the first
		} else {
			w.Modules = append(w.Modules, m)
		}
	}
	if !main {
		return nil, nil, fmt.Errorf("the main module %q is not among the modules of the version", v.MainModule)
	}
	if v.ServiceWorker && w.Script == "" {
		w.Script = ";" // an empty text would not be taken for a script
	}
	return w, w.Modules, nil
}

var byteOrderMark = []byte("\ufeff")

var moduleKinds = map[config.ModuleType]workerd.ModuleKind{
	config.ESModule:       workerd.ESModule,
	config.CommonJSModule: workerd.CommonJS,
	config.WasmModule:     workerd.Wasm,
	config.TextModule:     workerd.Text,
	config.DataModule:     workerd.Data,
	config.JSONModule:     workerd.JSON,
}

const moduleTypes = "application/javascript+module, application/javascript, application/wasm, text/plain, application/octet-stream, application/json"

// absentEntrypoint reads workerd's message about a socket that names an
// entrypoint which the Worker does not export.
func absentEntrypoint(message string) (string, bool) {
	m := absentMessage.FindStringSubmatch(message)
	if m == nil {
		return "", false
	}
	return m[1], true
}

var absentMessage = regexp.MustCompile(`(?s)^Socket ".*" refers to service "user" with a named entrypoint "(.*?)", but "user" has no such named entrypoint`)

// plainException turns workerd's report of an exception into JavaScript's form:
// "Uncaught exception: workerd/jsg/value.h:1456: failed: remote.jsg.Error: boom"
// becomes "Uncaught Error: boom".
func plainException(message string) string {
	m := exceptionPrefix.FindStringIndex(message)
	if m == nil {
		return message
	}
	return "Uncaught " + message[m[1]:]
}

var exceptionPrefix = regexp.MustCompile(`^Uncaught exception: (?:\S+: failed: )?(?:remote\.)?jsg\.`)

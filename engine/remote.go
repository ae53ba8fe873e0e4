package engine

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// A binding to a Durable Object class of another Worker leads to that Worker's
// cell, where the objects are. In the caller's cell there is a class of ours with
// the same key, so that the runtime makes the same ids; its instances pass on
// what they are asked over the socket that the other Worker's cell has for exactly
// that class. Both ends are in remote.js.

const (
	remoteService = "remote"
	gateService   = "gate"
)

//go:embed remote.js
var remoteSource string

// remoteModule has both sides.
var remoteModule = workerd.ExtensionModule{Name: "selvage:remote", Source: remoteSource}

// class names a Durable Object class.
type class struct{ worker, name string }

// remoteClass is a class that a cell reaches in another process.
type remoteClass struct {
	key     string // see config.Class
	service string // leads there
}

// classes are the keys of all classes that have objects.
func classes(s *config.Snapshot) map[class]string {
	keys := map[class]string{}
	for _, w := range s.Workers {
		for _, share := range trafficShares(w) {
			for _, c := range share.Version.Classes {
				keys[class{w.Name, c.Name}] = c.Key
			}
		}
	}
	return keys
}

// follow gives the place of what r leads to: a class may have got another name, or
// have been taken over by another Worker.
func follow(s *config.Snapshot, r binding.Reference) binding.Reference {
	w := s.Workers[r.Worker]
	if r.Class == "" || w == nil {
		return r
	}
	keys := classes(s)
	if _, ok := keys[class{r.Worker, r.Class}]; ok {
		return r
	}
	if m, ok := w.Moved[r.Class]; ok && keys[class{m.Worker, m.Class}] == m.Key {
		r.Worker, r.Class = m.Worker, m.Class
	}
	return r
}

// mountClass makes the binding that leads to a class of another Worker. One that
// does not exist has ids of its own, and its objects throw.
func (e *Engine) mountClass(p *plan, service string, r binding.Reference, trial bool) (workerd.Value, error) {
	s := e.o.Source.Current()
	r = follow(s, r)
	if err := e.reach(p, service, r, trial); err != nil {
		return nil, err
	}
	key := classes(s)[class{r.Worker, r.Class}]
	if key == "" {
		key = fmt.Sprintf("absent %q %q", r.Worker, r.Class)
	}
	name := "Remote" + strconv.Itoa(len(p.remote))
	p.remote = append(p.remote, remoteClass{key: key, service: service})
	return workerd.DurableValue{ClassName: name, Service: remoteService}, nil
}

// remoteWorker has the classes of other processes that the cell reaches.
func (p *plan) remoteWorker() workerd.Service {
	var source strings.Builder
	source.WriteString("import { remote } from \"selvage:remote\";\n")
	w := &workerd.Worker{CompatibilityDate: shimDate, GlobalOutbound: egressService}
	for i, r := range p.remote {
		name := "Remote" + strconv.Itoa(i)
		fmt.Fprintf(&source, "export const %s = remote((env) => env.%[1]s);\n", name)
		w.Bindings = append(w.Bindings, workerd.Binding{Name: name, Value: workerd.ServiceValue{Name: r.service}})
		w.Classes = append(w.Classes, workerd.DurableClass{ClassName: name, UniqueKey: r.key, SQL: true})
	}
	w.Modules = []workerd.Module{{Name: "index.js", Kind: workerd.ESModule, Data: []byte(source.String())}}
	p.extend(remoteModule)
	return workerd.Service{Name: remoteService, Worker: w}
}

// gate is the service through which other cells reach the classes of v.
func (p *plan) gate(v *config.Version) workerd.Service {
	w := &workerd.Worker{
		Modules:           []workerd.Module{{Name: "index.js", Kind: workerd.ESModule, Data: []byte(`export { Gate as default } from "selvage:remote";`)}},
		CompatibilityDate: shimDate,
		GlobalOutbound:    egressService,
	}
	for _, c := range v.Classes {
		w.Bindings = append(w.Bindings, workerd.Binding{Name: c.Name, Value: workerd.DurableValue{ClassName: c.Name, Service: userService}})
	}
	p.extend(remoteModule)
	return workerd.Service{Name: gateService, Worker: w}
}

// gateProps says which class of v a socket leads to, or why to none.
func gateProps(v *config.Version, standIn bool, name string) string {
	props := map[string]string{"class": name}
	switch {
	case standIn:
		props = map[string]string{"absent": v.Message}
	case !hasClass(v, name):
		props = map[string]string{"absent": noClass(v.Worker, name)}
	}
	text, _ := json.Marshal(props) // of strings
	return string(text)
}

func noClass(worker, name string) string {
	return fmt.Sprintf("Worker %q has no Durable Object class named %q.", worker, name)
}

// extend adds an extension module unless it is there.
func (p *plan) extend(m workerd.ExtensionModule) {
	if !slices.Contains(p.config.Extensions, m) {
		p.config.Extensions = append(p.config.Extensions, m)
	}
}

// changed lists the classes whose keys differ.
func changed(before, after map[class]string) map[class]bool {
	list := map[class]bool{}
	for c, key := range before {
		if after[c] != key {
			list[c] = true
		}
	}
	for c := range maps.Keys(after) {
		if _, ok := before[c]; !ok {
			list[c] = true
		}
	}
	return list
}

// follow replaces the cells that reach one of the classes: their ids are made
// with its key.
func (w *worker) follow(keys map[class]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pools := slices.Collect(maps.Values(w.pools))
	if w.coming != nil {
		pools = slices.AppendSeq(pools, maps.Values(w.coming.pools))
	}
	if slices.ContainsFunc(pools, func(p *pool) bool { return w.e.reaches(p.version, keys) }) {
		w.refresh()
	}
}

// reaches: a binding of v leads to one of the classes in another Worker.
func (e *Engine) reaches(v *config.Version, keys map[class]bool) bool {
	return slices.ContainsFunc(e.peersOf(v), func(r binding.Reference) bool { return r.Class != "" && keys[class{r.Worker, r.Class}] })
}

package platform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/program"
)

// Builtin is a Worker that comes with the program rather than from the source
// of snapshots: one written in Go, or a JavaScript project that is embedded. It
// is part of every snapshot; a Worker of the same name from the source is not.
type Builtin struct {
	Worker *config.Worker
	Routes []config.Route
	// Program implements the Worker in this process. Nil: its versions have code.
	Program *program.Worker
	// Open is called once everything is there but before the first request, to
	// give a Program its bindings. May be nil.
	Open func(*Platform) error
	// MapStack rewrites a stack of the Worker to its sources. May be nil.
	MapStack func(version, stack string) string
}

// programs lists the builtins that are implemented in this process.
func programs(list []Builtin) []*program.Worker {
	var workers []*program.Worker
	for _, b := range list {
		if b.Program != nil {
			workers = append(workers, b.Program)
		}
	}
	return workers
}

// openBuiltins gives the Programs their bindings, and makes the resources of
// the embedded projects.
func (p *Platform) openBuiltins(list []Builtin) error {
	for _, b := range list {
		for _, s := range b.Worker.Shares {
			if err := p.makeResources(s.Version); err != nil {
				return fmt.Errorf("start Worker %q: %w", b.Worker.Name, err)
			}
		}
		if b.Open == nil {
			continue
		}
		if err := b.Open(p); err != nil {
			return fmt.Errorf("start Worker %q: %w", b.Worker.Name, err)
		}
	}
	return nil
}

// makeResources makes what a version's bindings name and does not exist.
func (p *Platform) makeResources(v *config.Version) error {
	kinds := binding.ByType(p.Stores.Kinds)
	for _, b := range v.Bindings {
		if maker, ok := kinds[b.Type].(binding.Maker); ok {
			if err := maker.Make(context.Background(), b); err != nil {
				return err
			}
		}
	}
	return nil
}

// Bind sets the variable that to points to, of a Worker written in Go, to what
// a binding of its version gives. What the binding names and does not exist is
// made: whoever starts the program deploys the Worker.
func (p *Platform) Bind(v *config.Version, b config.Binding, to any) error {
	kind := binding.ByType(p.Stores.Kinds)[b.Type]
	if kind == nil {
		return fmt.Errorf("there is no kind of binding named %q here", b.Type)
	}
	g, ok := kind.(binding.GoKind)
	if !ok {
		return fmt.Errorf("a binding of type %s is for Workers in JavaScript", b.Type)
	}
	host := binding.Host{Version: v, Call: p.Engine.Call, Object: p.Engine.Object, ObjectID: p.Engine.ObjectID}
	err := g.Bind(b, host, to)
	maker, ok := kind.(binding.Maker)
	var wrong *binding.TypeError
	if err == nil || !ok || errors.As(err, &wrong) {
		return err
	}
	if err := maker.Make(context.Background(), b); err != nil {
		return err
	}
	return g.Bind(b, host, to)
}

// Imply returns the binding that a variable of a Worker written in Go has
// without settings, or false if its type needs some.
func Imply(name string, to any) (config.Binding, bool) {
	for _, k := range Kinds() {
		if i, ok := k.(binding.Implier); ok {
			if b, ok := i.Imply(name, to); ok {
				return b, true
			}
		}
	}
	return config.Binding{}, false
}

// overlay is a source whose snapshots have the builtins.
type overlay struct {
	config.Source
	builtins []Builtin

	mu   sync.Mutex // guards both
	from *config.Snapshot
	with *config.Snapshot
}

func withBuiltins(source config.Source, list []Builtin) config.Source {
	if len(list) == 0 {
		return source
	}
	return &overlay{Source: source, builtins: list}
}

// Current implements config.Source.
func (o *overlay) Current() *config.Snapshot { return o.add(o.Source.Current()) }

// Subscribe implements config.Source.
func (o *overlay) Subscribe(f func(*config.Snapshot)) (stop func()) {
	return o.Source.Subscribe(func(s *config.Snapshot) { f(o.add(s)) })
}

// add returns s with the builtins; the same one for the same s.
func (o *overlay) add(s *config.Snapshot) *config.Snapshot {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s == o.from {
		return o.with
	}
	with := *s
	with.Workers = maps.Clone(s.Workers)
	if with.Workers == nil {
		with.Workers = map[string]*config.Worker{}
	}
	with.Routes = slices.Clone(s.Routes)
	for _, b := range o.builtins {
		with.Workers[b.Worker.Name] = b.Worker
		with.Routes = append(with.Routes, b.Routes...)
	}
	if with.WorkersDomain == "" {
		with.WorkersDomain = "localhost"
	}
	o.from, o.with = s, &with
	return o.with
}

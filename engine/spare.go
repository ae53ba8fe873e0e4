package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/cgroup"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// A process is confined before its first instruction, so what it may reach is
// known by then: its berth. One process is kept ahead of need, with a berth of
// its own and in a cgroup of its own, for the next cell that needs nothing more
// than a berth has. It has run nobody's code, and runs that of one cell.

// berth is where a cell's process is tied to us.
type berth struct {
	user, events string              // the paths of the sockets it listens on
	files        map[string]*os.File // those sockets, by their names in its configuration
	egress       string              // the path of the socket that leads to the network
	network      *os.File            // that socket
}

func (e *Engine) newBerth() (*berth, error) {
	b := &berth{user: e.run.socket("u"), events: e.run.socket("e"), egress: e.run.socket("x"), files: map[string]*os.File{}}
	var err error
	for name, path := range map[string]string{userSocket: b.user, eventSocket: b.events} {
		if b.files[name], err = listenUnix(path); err != nil {
			b.discard()
			return nil, err
		}
	}
	// It is there before a process is told that it may connect to it.
	if b.network, err = listenUnix(b.egress); err != nil {
		b.discard()
		return nil, err
	}
	return b, nil
}

func (b *berth) discard() {
	for _, f := range b.files {
		f.Close()
	}
	b.network.Close()
	for _, path := range []string{b.user, b.events, b.egress} {
		os.Remove(path)
	}
}

// spare is a process that waits for its configuration.
type spare struct {
	berth   *berth
	process *workerd.Spare
	ended   func() cgroup.Events
	used    chan struct{} // closed when it runs, or does not
}

func (s *spare) discard() {
	s.process.Discard()
	s.ended()
	s.berth.discard()
}

// spareRetry is how long it takes until a spare is tried again that did not start.
const spareRetry = time.Minute

// keepSpare keeps one spare until the engine closes, once a cell has started: a
// server without cells needs no process, and may have no program for one.
func (e *Engine) keepSpare() {
	select {
	case <-e.begun:
	case <-e.ctx.Done():
	}
	for e.ctx.Err() == nil {
		s, err := e.newSpare()
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return
		case err != nil:
			e.o.Logger.Warn("no process is kept ahead of need", "err", err)
			select {
			case <-e.o.clock.after(spareRetry):
			case <-e.ctx.Done():
			}
			continue
		}
		e.spares <- s
		select {
		case <-s.used: // until then who needs it has the processor for himself
			continue
		case <-e.o.clock.after(workerd.SpareLife()):
		case <-e.ctx.Done():
		}
		select {
		case <-e.spares:
			s.discard()
		case <-s.used: // it was taken in this moment
		}
	}
}

func (e *Engine) newSpare() (*spare, error) {
	binary, err := e.o.Binary(e.ctx)
	if err != nil {
		return nil, err
	}
	b, err := e.newBerth()
	if err != nil {
		return nil, err
	}
	c := &workerd.Config{}
	for name := range b.files {
		c.Sockets = append(c.Sockets, workerd.Socket{Name: name})
	}
	for _, path := range []string{e.bindings.path, b.egress} { // what it may connect to
		c.Services = append(c.Services, workerd.Service{External: &workerd.External{Address: "unix:" + path}})
	}
	nobody := &config.Version{}
	prepare, ended := e.prepareProcess(nobody, c, "", false)
	process, err := workerd.StartSpare(workerd.Options{Binary: binary, Config: c, Sockets: b.files, Exceptions: e.o.Exceptions, Prepare: prepare})
	if err != nil {
		ended()
		b.discard()
		return nil, err
	}
	return &spare{b, process, ended, make(chan struct{})}, nil
}

// settle gives p a berth: that of the spare process if there is one and p needs
// no more. Bindings must have been mounted. plain: neither the version nor its
// cell needs anything special.
func (e *Engine) settle(p *plan, plain bool) (*berth, error) {
	elsewhere := func(s workerd.Service) bool {
		return s.External != nil && s.External.Address != "unix:"+e.bindings.path
	}
	if plain && !slices.ContainsFunc(p.config.Services, elsewhere) {
		select {
		case p.spare = <-e.spares:
		default:
		}
	}
	if p.spare != nil {
		p.berthed(p.spare.berth)
		return p.spare.berth, nil
	}
	b, err := e.newBerth()
	if err == nil {
		p.berthed(b)
	}
	return b, err
}

// berthed makes b the plan's own.
func (p *plan) berthed(b *berth) {
	for _, f := range b.files {
		p.own = append(p.own, f)
	}
	p.discards = append(p.discards, func() { os.Remove(b.user); os.Remove(b.events) })
}

// begin starts the process of a plan; see launch.
func (e *Engine) begin(ctx context.Context, p *plan, v *config.Version, objects string, o workerd.Options) (*workerd.Process, func() cgroup.Events, error) {
	s := p.spare
	if s == nil {
		return e.launch(ctx, v, objects, o)
	}
	p.spare = nil
	defer close(s.used)
	if len(o.Config.Sockets) != len(s.berth.files) || len(o.ExtraFiles) > 0 || o.InspectorAddr != "" {
		s.process.Discard()
		s.ended()
		return nil, nil, fmt.Errorf("start cell of %s: its berth is too small", v.Worker)
	}
	proc, err := s.process.Start(ctx, o.Config, o.Lines)
	if errors.Is(err, workerd.ErrSpent) {
		s.ended()
		return e.launch(ctx, v, objects, o)
	}
	return started(proc, s.ended, err)
}

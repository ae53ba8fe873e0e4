// Package program hosts Workers that are written in Go: it calls their handlers,
// knows what they are doing, makes their tail events, and waits for them at the
// end. A panic is an exception of the Worker (error 1101), never the end of the
// process. Which version of which Worker runs is the engine's decision.
package program

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

// Options are what a Host builds on. All are required.
type Options struct {
	// Deployed returns the version of a Worker that runs, or why there is none.
	Deployed func(worker string) (*config.Version, error)
	// Observed: somebody wants the tail events of the Worker.
	Observed func(worker string) bool
	// Lines receives what Workers log, Invocations their tail events.
	Lines       func(telemetry.Line)
	Invocations func(telemetry.Invocation)
	Logger      *slog.Logger
}

// Host runs the Workers in Go of one engine. It is safe for concurrent use.
type Host struct {
	o       Options
	workers map[string]*Worker
}

// NewHost returns a host of these Workers.
func NewHost(o Options, workers []*Worker) *Host {
	h := &Host{o: o, workers: map[string]*Worker{}}
	for _, w := range workers {
		w.o = &h.o
		h.workers[w.name] = w
		if len(w.tailOf) > 0 {
			w.tails = newTailQueue(w)
		}
	}
	return h
}

// Find returns the Worker of that name, or nil.
func (h *Host) Find(name string) *Worker { return h.workers[name] }

// TailOf names the Workers whose invocations are to be told to Tell. all: those
// of every Worker.
func (h *Host) TailOf() (names []string, all bool) {
	of := map[string]bool{}
	for _, w := range h.workers {
		if w.tails != nil {
			maps.Copy(of, w.tails.of)
			all = all || w.tails.all
		}
	}
	delete(of, "*")
	return slices.Sorted(maps.Keys(of)), all
}

// Tell gives an invocation to those that listen to its Worker, without waiting
// for them. A Tail's own invocation is told to none, so that two cannot keep
// each other busy.
func (h *Host) Tell(i telemetry.Invocation) {
	if string(i.Event) == tailEvent {
		return
	}
	for _, w := range h.workers {
		q := w.tails
		if q == nil || !q.of[i.ScriptName] && !(q.all && i.ScriptName != w.name) {
			continue
		}
		select {
		case q.events <- i:
		default:
			h.o.Logger.Warn("tail event lost: the Worker's Tail is too slow", "worker", w.name)
		}
	}
}

// Infos describes the Workers, by name.
func (h *Host) Infos() []Info {
	infos := make([]Info, 0, len(h.workers))
	for _, w := range h.workers {
		infos = append(infos, w.info())
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Worker, b.Worker) })
	return infos
}

// Wait waits for what the Workers are doing, WaitUntil functions included.
func (h *Host) Wait(ctx context.Context) error {
	var errs []error
	for _, w := range h.workers {
		errs = append(errs, w.wait(ctx))
	}
	return errors.Join(errs...)
}

// Close refuses further work, waits for what still runs until ctx ends, and
// then ends the contexts of WaitUntil functions.
func (h *Host) Close(ctx context.Context) error {
	for _, w := range h.workers {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
	}
	err := h.Wait(ctx)
	for _, w := range h.workers {
		w.stop()
		if w.tails != nil {
			w.tails.close()
		}
	}
	return err
}

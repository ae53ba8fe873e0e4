package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// Report is what a trial start tells of a version.
type Report struct {
	// StartTime is from spawning the process to readiness. Cloudflare's limit
	// for the script alone is one second.
	StartTime time.Duration
	// Handlers are the names of the functions of the default export, sorted:
	// "fetch", "scheduled". Empty for service-worker scripts, whose handlers
	// cannot be listed.
	Handlers []string
	// Exports are the other exports.
	Exports []Export
	// Warnings say which bindings do not work, or in part.
	Warnings []string
}

// Export is a named export of a Worker.
type Export struct {
	Name string `json:"name"`
	// Kind is "entrypoint", "durable-object", "workflow", "class", "object" or "other".
	Kind string `json:"kind"`
	// Handlers are its methods.
	Handlers []string `json:"handlers"`
}

// Check starts v in a process of its own, which serves nobody and never sees
// the Worker's Durable Objects, and says what it exports. Errors in the user's
// code are in the chain as *[workerd.StartError]; their positions are those of
// the bundle, see Options.MapStack.
func (e *Engine) Check(ctx context.Context, v *config.Version) (Report, error) {
	for _, b := range v.Bindings {
		kind, err := e.kinds.Of(b)
		if err == nil {
			err = kind.Validate(b)
		}
		if err != nil {
			return Report{}, err
		}
	}
	if v.MainModule == "" {
		return Report{}, nil // static assets only
	}
	binary, err := e.o.Binary(ctx)
	if err != nil {
		return Report{}, err
	}
	objects, err := os.MkdirTemp(e.run.path, "check-")
	if err != nil {
		return Report{}, fmt.Errorf("check version: %w", err)
	}
	defer os.RemoveAll(objects)
	p, err := e.plan(ctx, v, planOptions{objects: objects, trial: true})
	if err != nil {
		return Report{}, err
	}
	defer p.discard()
	ctx, cancel := context.WithTimeoutCause(ctx, e.o.StartTimeout,
		fmt.Errorf("not ready after %v; is there an endless loop at the top level of the script?", e.o.StartTimeout))
	defer cancel()
	proc, ended, err := e.launch(ctx, v, objects, workerd.Options{Binary: binary, Config: p.config, Sockets: p.sockets})
	if err != nil {
		return Report{}, err
	}
	p.closeOwn()
	defer func() { proc.Kill(); _ = proc.Wait(); ended() }()
	report := Report{StartTime: proc.StartTime, Warnings: p.warnings}
	if v.ServiceWorker {
		return report, nil
	}
	c := &cell{version: v, proc: proc, ended: ended, events: shimClient(p)}
	var exports []Export
	if err := c.ask(ctx, "/exports", nil, &exports); err != nil {
		return report, fmt.Errorf("check version: %w", err)
	}
	for _, x := range exports {
		if x.Name == "default" {
			report.Handlers = x.Handlers
		} else {
			report.Exports = append(report.Exports, x)
		}
	}
	var errs []error
	for _, class := range v.Classes {
		if !slices.ContainsFunc(exports, func(x Export) bool { return x.Name == class.Name && x.Kind != "object" && x.Kind != "other" }) {
			errs = append(errs, &workerd.StartError{Message: fmt.Sprintf(
				"Durable Object class %q is not exported by the script: export it from %s, or remove it by a migration with deleted_classes",
				class.Name, v.MainModule)})
		}
	}
	for _, class := range e.attendedClasses(v) {
		if !slices.ContainsFunc(exports, func(x Export) bool { return x.Name == class && x.Kind == "workflow" }) {
			errs = append(errs, &workerd.StartError{Message: notExported(class, v)})
		}
	}
	return report, errors.Join(errs...)
}

// probeSource lists the exports of the user's main module.
const probeSource = `import * as user from %s;
import { WorkerEntrypoint, DurableObject, WorkflowEntrypoint } from "cloudflare:workers";
const methods = (o) => {
  const names = new Set();
  for (; o && o !== Object.prototype && o !== WorkerEntrypoint.prototype && o !== DurableObject.prototype && o !== WorkflowEntrypoint.prototype; o = Object.getPrototypeOf(o))
    for (const n of Object.getOwnPropertyNames(o)) {
      const d = Object.getOwnPropertyDescriptor(o, n);
      if (n !== "constructor" && typeof d.value === "function") names.add(n);
    }
  return [...names].sort();
};
const kind = (x) =>
  typeof x === "object" && x ? "object"
  : typeof x !== "function" ? "other"
  : x.prototype instanceof DurableObject ? "durable-object"
  : x.prototype instanceof WorkerEntrypoint ? "entrypoint"
  : x.prototype instanceof WorkflowEntrypoint ? "workflow"
  : x.prototype ? "class" : "other";
export default {
  fetch: () => Response.json(Object.entries(user).map(([name, x]) => ({ name, kind: kind(x), handlers: methods(typeof x === "function" ? x.prototype : x) }))),
};
`

// probe is a Worker of the user's modules whose main module is ours.
func probe(v *config.Version, modules []workerd.Module) workerd.Service {
	source := fmt.Sprintf(probeSource, quoteJS(specifier(v.MainModule)))
	date := max(v.CompatibilityDate, "2024-04-03") // classes of cloudflare:workers
	return workerd.Service{Name: probeService, Worker: &workerd.Worker{
		Modules:            append([]workerd.Module{{Name: "selvage-probe.js", Kind: workerd.ESModule, Data: []byte(source)}}, modules...),
		CompatibilityDate:  date,
		CompatibilityFlags: v.CompatibilityFlags,
		GlobalOutbound:     egressService,
	}}
}

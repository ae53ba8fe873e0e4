package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

var (
	_ binding.Opener    = (*Kind)(nil)
	_ binding.Referrer  = (*Kind)(nil)
	_ binding.Deployer  = (*Kind)(nil)
	_ binding.Measurer  = (*Kind)(nil)
	_ binding.Runner    = (*Kind)(nil)
	_ binding.Attendant = (*Kind)(nil)
	_ binding.Bounded   = (*Kind)(nil)
	_ binding.Sweeper   = (*Kind)(nil)

	_ binding.LocalRouter = (*Kind)(nil)
)

// Open implements binding.Opener.
func (k *Kind) Open(home binding.Home) (err error) {
	k.memory, k.dev = home.Memory, home.Dev
	k.store, err = OpenStore(home.Keyed, Options{Now: home.Now, Quota: home.Quota("workflows"), Logger: home.Log})
	return err
}

// usedPath is where the local API tells how much all Workflows store.
const usedPath = "/local/workflows/used"

// Quotas implements binding.Bounded.
func (*Kind) Quotas() []binding.Quota {
	return []binding.Quota{{Key: "workflows", Name: "Workflows", Ask: usedPath}}
}

// LocalRoutes implements binding.LocalRouter.
func (k *Kind) LocalRoutes() []api.Route {
	return []api.Route{{Method: http.MethodGet, Path: usedPath, Handle: func(w http.ResponseWriter, r *http.Request) error {
		bytes, err := k.store.Measure(r.Context())
		if err != nil {
			return err
		}
		return api.Write(w, map[string]any{"name": "all Workflows", "bytes": bytes})
	}}}
}

// Sweep implements binding.Sweeper: it counts anew what is stored.
func (k *Kind) Sweep(ctx context.Context) (int, error) { return 0, k.store.recount(ctx) }

// Refer implements binding.Referrer.
func (*Kind) Refer(b config.Binding) []binding.Reference {
	s, err := decode(b)
	if err != nil || s.Script == "" {
		return nil
	}
	return []binding.Reference{{Peer: binding.Peer{Worker: s.Script}, Class: s.Class}}
}

// Deployable implements binding.Deployer.
func (k *Kind) Deployable(_ string, b config.Binding) error { return k.Validate(b) }

// Measure implements binding.Measurer.
func (k *Kind) Measure(m *telemetry.Metrics) {
	m.Depth("workflow runs", func() int { return k.store.Running() })
}

// drain is how long runs may go on when the platform stops. What is not done then
// is cut off and begins anew after the next start.
const drain = 5 * time.Second

// Run implements binding.Runner: it runs instances when they are due.
func (k *Kind) Run(ctx context.Context, events binding.Events, source config.Source) {
	defer source.Subscribe(func(*config.Snapshot) { k.store.tell() })()
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var runs sync.WaitGroup
	schedulers := map[*Workflow]*scheduler{}
	for ctx.Err() == nil {
		k.declare(source.Current())
		list := k.store.Workflows()
		for w, s := range schedulers {
			if !slices.Contains(list, w) {
				s.stop()
				delete(schedulers, w)
			}
		}
		for _, w := range list {
			if schedulers[w] == nil {
				s := &scheduler{w: w, events: events, source: source, work: work, runs: &runs}
				s.start(ctx)
				schedulers[w] = s
			}
		}
		select {
		case <-ctx.Done():
		case <-k.store.changed:
		}
	}
	for _, s := range schedulers {
		s.stop()
	}
	late := time.AfterFunc(drain, cut)
	defer late.Stop()
	runs.Wait()
}

// declare sets up the Workflows that Workers of a snapshot have themselves.
func (k *Kind) declare(s *config.Snapshot) {
	for _, worker := range slices.Sorted(maps.Keys(s.Workers)) {
		for _, t := range s.Workers[worker].Triggers {
			if t.Type != k.Type() {
				continue
			}
			settings, err := triggered(worker, t)
			if err == nil {
				_, err = k.store.Put(t.Name, settings, false)
			}
			if err != nil {
				k.store.log.Error("a Worker cannot have a Workflow", "worker", worker, "workflow", t.Name, "err", err)
			}
		}
	}
}

// triggered reads the settings that a Worker's trigger describes.
func triggered(worker string, t config.Binding) (Settings, error) {
	var s putRequest
	if err := t.Decode(&s); err != nil {
		return Settings{}, err
	}
	s.Script = worker
	return s.settings()
}

// putRequest is what clients say of a Workflow.
type putRequest struct {
	Script string `json:"script_name"`
	Class  string `json:"class_name"`
	Limits struct {
		Steps int `json:"steps"`
	} `json:"limits"`
	Concurrency struct {
		Limit *int `json:"limit"`
	} `json:"concurrency"`
	Schedules []struct {
		Cron string `json:"cron"`
	} `json:"schedules"`
	Jurisdiction string `json:"jurisdiction"`
	Retention    struct {
		Success json.RawMessage `json:"success_retention"`
		Error   json.RawMessage `json:"error_retention"`
	} `json:"default_retention"`
}

func (r putRequest) settings() (s Settings, err error) {
	s = Settings{Script: r.Script, Class: r.Class, Steps: r.Limits.Steps, Jurisdiction: r.Jurisdiction}
	if limit := r.Concurrency.Limit; limit != nil {
		if *limit < 1 {
			return s, fmt.Errorf("concurrency.limit is %d; it must be a positive number", *limit)
		}
		s.Concurrency = *limit
	}
	for _, x := range r.Schedules {
		s.Schedules = append(s.Schedules, x.Cron)
	}
	if s.Retention.Success, err = parseRetention(r.Retention.Success); err != nil {
		return s, fmt.Errorf("default_retention.success_retention: %w", err)
	}
	if s.Retention.Error, err = parseRetention(r.Retention.Error); err != nil {
		return s, fmt.Errorf("default_retention.error_retention: %w", err)
	}
	return s, nil
}

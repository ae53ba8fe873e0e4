package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// readSnapshot reads everything; follow keeps it up to date.
func (s *Store) readSnapshot(ctx context.Context) (*config.Snapshot, error) {
	next := &config.Snapshot{Account: s.account, WorkersDomain: s.domain, Workers: map[string]*config.Worker{}}
	err := s.View(ctx, func(tx *Tx) error {
		workers, err := tx.Workers()
		if err != nil {
			return err
		}
		for _, w := range workers {
			c, err := tx.configWorker(w, nil)
			if err != nil {
				return fmt.Errorf("worker %s: %w", w.Name, err)
			}
			if c != nil {
				next.Workers[w.Name] = c
			}
		}
		if next.Routes, err = tx.configRoutes(); err != nil {
			return err
		}
		next.Zones, err = tx.configZones()
		return err
	})
	return next, err
}

// follow makes the snapshot after a committed update: the previous one with
// the touched Workers read again.
func (s *Store) follow(ctx context.Context, done *Tx) error {
	if s.blobs == nil || (len(done.touched) == 0 && !done.routes) {
		return nil
	}
	next := *s.source.Current()
	next.Workers = maps.Clone(next.Workers)
	err := s.View(ctx, func(tx *Tx) error {
		for name := range done.touched {
			w, err := tx.Worker(name)
			if errors.Is(err, ErrNotFound) {
				delete(next.Workers, name)
				continue
			}
			if err != nil {
				return err
			}
			c, err := tx.configWorker(w, next.Workers[name])
			if err != nil {
				return fmt.Errorf("worker %s: %w", name, err)
			}
			if c != nil {
				next.Workers[name] = c
			}
		}
		if !done.routes {
			return nil
		}
		var err error
		if next.Routes, err = tx.configRoutes(); err != nil {
			return err
		}
		next.Zones, err = tx.configZones()
		return err
	})
	if err != nil {
		return fmt.Errorf("follow update: %w", err)
	}
	s.source.Set(&next)
	return nil
}

// configWorker makes the snapshot's view of w, with the versions of before
// where they are still needed. It is nil for a Worker without a deployment.
func (tx *Tx) configWorker(w Worker, before *config.Worker) (*config.Worker, error) {
	d, err := tx.Deployment(w.Name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known := map[string]*config.Version{}
	if before != nil {
		for _, s := range before.Shares {
			known[s.Version.ID] = s.Version
		}
		for _, v := range before.Previews {
			known[v.ID] = v
		}
	}
	version := func(id string) (*config.Version, error) {
		if v := known[id]; v != nil && !slices.ContainsFunc(v.Classes, func(c config.Class) bool { return !w.has(c.Key) }) {
			return v, nil
		}
		v, err := tx.Version(w.Name, id)
		if err != nil {
			return nil, fmt.Errorf("version %s: %w", id, err)
		}
		had := v.Classes
		v.Classes = w.Kept(had)
		c, err := tx.Config(v)
		for _, class := range had {
			if err == nil && !w.has(class.Key) {
				c.Lost = append(c.Lost, class.Name)
			}
		}
		return c, err
	}
	c := &config.Worker{Name: w.Name, Deployment: d.ID, Subdomain: w.Subdomain, PreviewURLs: w.Previews}
	for _, m := range w.Moved {
		if c.Moved == nil {
			c.Moved = map[string]config.Moved{}
		}
		c.Moved[m.Name] = config.Moved{Worker: m.Worker, Class: m.Class, Key: m.Key}
	}
	for _, s := range w.Schedules {
		c.Crons = append(c.Crons, s.Cron)
	}
	deployed := map[string]bool{}
	for _, share := range d.Shares {
		v, err := version(share.Version)
		if err != nil {
			return nil, err
		}
		deployed[v.ID] = true
		c.Shares = append(c.Shares, config.Share{Version: v, Percentage: share.Percentage})
	}
	if !w.Previews {
		return c, nil
	}
	ids, err := tx.column("SELECT id FROM versions WHERE worker = ? ORDER BY number DESC LIMIT ?", w.Name, MaxListed)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if deployed[id] {
			continue
		}
		v, err := version(id)
		if err != nil {
			return nil, err
		}
		c.Previews = append(c.Previews, v)
	}
	return c, nil
}

// Config makes what a cell needs from a version: secrets in clear, code and
// static files on demand.
func (tx *Tx) Config(v Version) (*config.Version, error) {
	bindings, err := tx.Reveal(v.Bindings)
	if err != nil {
		return nil, err
	}
	c := &config.Version{
		ID: v.ID, Number: v.Number, Worker: v.Worker,
		Tag: v.Annotations["workers/tag"], Message: v.Annotations["workers/message"], Created: v.Created,
		MainModule: v.MainModule, ServiceWorker: v.ServiceWorker,
		CompatibilityDate: v.CompatibilityDate, CompatibilityFlags: v.CompatibilityFlags,
		Bindings: bindings, Annotations: v.Annotations,
		Limits: config.Limits{CPU: time.Duration(v.Limits.CPUMS) * time.Millisecond, Subrequests: v.Limits.Subrequests, Cells: v.Limits.Cells},
		Code:   code{s: tx.s, modules: v.Modules},
	}
	for _, class := range v.Classes {
		c.Classes = append(c.Classes, config.Class(class))
	}
	if v.Assets != nil {
		if c.Assets, err = AssetsConfig(v.Assets.Config, &files{s: tx.s, manifest: v.Assets.Manifest}); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// assetsConfig is metadata.assets.config of an upload.
type assetsConfig struct {
	HTMLHandling     string          `json:"html_handling"`
	NotFoundHandling string          `json:"not_found_handling"`
	BasePath         string          `json:"base_path"`
	RunWorkerFirst   json.RawMessage `json:"run_worker_first"`
	Headers          string          `json:"_headers"`
	Redirects        string          `json:"_redirects"`
}

// AssetsConfig reads metadata.assets.config of an upload.
func AssetsConfig(text json.RawMessage, f config.AssetFiles) (*config.Assets, error) {
	var c assetsConfig
	if len(text) > 0 {
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("assets: %w", err)
		}
	}
	a := &config.Assets{
		HTMLHandling: c.HTMLHandling, NotFoundHandling: c.NotFoundHandling, BasePath: c.BasePath, Headers: c.Headers, Redirects: c.Redirects,
		Files: f,
	}
	if len(c.RunWorkerFirst) > 0 && string(c.RunWorkerFirst) != "null" {
		if json.Unmarshal(c.RunWorkerFirst, &a.RunWorkerFirst) != nil {
			if err := json.Unmarshal(c.RunWorkerFirst, &a.RunWorkerFirstPaths); err != nil {
				return nil, errors.New("assets: run_worker_first is neither true, false nor a list of patterns")
			}
		}
	}
	return a, nil
}

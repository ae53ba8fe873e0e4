package dev

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/fault"
)

// requests is what hears of finished requests.
func (s *server) requests() func(edge.Record) {
	if s.options.Observe {
		return s.console.access
	}
	return s.console.failed
}

// stages are what dev puts in front of the Workers.
func (s *server) stages() []edge.Stage {
	return []edge.Stage{
		stage(s.foreign),   // whoever must not read anything here
		stage(s.unbuilt),   // nothing below makes sense before the first build
		stage(s.scheduled), // as wrangler dev has it, on every host that is answered
		stage(s.located),   // for the Workers alone
	}
}

type stage func(w http.ResponseWriter, r *http.Request, next edge.Handler) error

func (s stage) ServeHTTP(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	return s(w, r, next)
}

// unbuilt answers with the build errors until the first build succeeds.
func (s *server) unbuilt(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	if err := s.broken.Load(); err != nil {
		return fault.StartFailed.With("the build failed; save a correction and it is tried again:\n"+(*err).Error(), nil)
	}
	return next.ServeHTTP(w, r)
}

// scheduledPaths fire a cron trigger by hand: the documented one, that of wrangler
// 4.164, and that of Miniflare 3. Query: cron (default none), time
// in milliseconds since 1970 (default now), format=json for the whole outcome.
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/handlers/scheduled/
var scheduledPaths = []string{"/cdn-cgi/handler/scheduled", "/cdn-cgi/local/scheduled", "/cdn-cgi/mf/scheduled"}

// testScheduledPath does, too, where --test-scheduled asks for it. Query: cron.
//
// Source: https://developers.cloudflare.com/workers/configuration/cron-triggers/#test-cron-triggers-locally
const testScheduledPath = "/__scheduled"

func (s *server) scheduled(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	test := s.options.TestScheduled && r.URL.Path == testScheduledPath
	if !test && !slices.Contains(scheduledPaths, r.URL.Path) {
		return next.ServeHTTP(w, r)
	}
	if err := s.sameDeveloper(r); err != nil {
		return err
	}
	query := r.URL.Query()
	at := time.Now()
	if text := query.Get("time"); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fault.BadRequest.With(fmt.Sprintf("time=%s is not a number of milliseconds since 1970", text), nil)
		}
		at = time.UnixMilli(ms)
	}
	worker, _ := s.platform.Edge.Find("http", r.Host, "/")
	outcome, err := s.platform.Engine.Send(r.Context(), worker, cron.Trigger{Cron: query.Get("cron"), Time: at}.Event())
	if err != nil {
		return err
	}
	status := http.StatusOK
	if outcome.Outcome != "ok" {
		status = http.StatusInternalServerError
	}
	if query.Get("format") == "json" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		return json.NewEncoder(w).Encode(map[string]any{"outcome": outcome.Outcome, "noRetry": outcome.NoRetry})
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if test && status == http.StatusOK {
		_, err = fmt.Fprint(w, "Ran scheduled event")
		return err
	}
	_, err = fmt.Fprint(w, outcome.Outcome)
	return err
}

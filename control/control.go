// Package control is the REST API, version 4: what wrangler, the SDKs and
// Terraform call to upload Workers and manage what belongs to them.
//
// Each resource is one file; routes.go lists every operation in one place.
// Bindings bring the routes of their own resources and are mounted beside.
// All state is in package state: a call that has been answered with success is
// on disk and in force.
//
// Source: https://developers.cloudflare.com/api/resources/workers/
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control/auth"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/storage/budget"
	"github.com/selvage-edge/selvage/telemetry"
)

// Report is what the check of an upload found out.
type Report struct {
	// StartupTime is how long the version took to start.
	StartupTime time.Duration
	// Handlers are the handlers of the default export: fetch, scheduled, ….
	Handlers []string
	// Warnings are shown to whoever uploads.
	Warnings []string
}

// Options are what the REST API works with.
type Options struct {
	// State and Auth are required.
	State *state.Store
	Auth  *auth.Auth
	// Routes are operations of other packages, mounted beside those of this one.
	Routes [][]api.Route
	// Check starts a version on trial before it is accepted. Its error is shown
	// to the user as the reason why the upload is refused. Nil accepts all.
	Check func(context.Context, *config.Version) (Report, error)
	// Prepare starts what a deployment of the Worker needs that is about to be
	// stored, and returns when it is ready to take requests. finish is called when
	// the deployment is stored, or was given up, and returns when requests reach
	// nothing else any more. Its error is shown to the user as the reason why the
	// deployment is not made; a mistake of the version itself is a StartupError.
	// Nil: nothing needs to be started.
	Prepare func(ctx context.Context, worker string, shares []config.Share) (finish func(), err error)
	// Kinds are the kinds of binding that a Worker may have, among them one that
	// is a binding.Secretive. An upload with another is refused. Required.
	Kinds []binding.Kind
	// Tail calls f with each invocation of a Worker until cancel is called. f
	// must not block. Nil: `wrangler tail` is refused.
	Tail func(worker string, f func(telemetry.Invocation)) (cancel func())
	// Scheme and Port are where Workers answer: "http" and ":8080". They are
	// used in the URLs that clients show. Default "http" and no port.
	Scheme, Port string
	// Normalization of URLs for zones that have none of their own. Default:
	// Cloudflare's.
	Normalization config.Normalization
	// Crons has what became of cron triggers. Nil: nothing is kept.
	Crons *cron.History
	// HostOwner names, for people, what has a host that no Worker can have; empty if
	// nothing does. It is asked while nothing else can take a host. Nil: nothing has.
	HostOwner func(host string) string
	// Keys are the access keys of R2. Default: those of State.
	Keys *auth.Keys
	// Memory is what requests take that are held in memory. Nil: no bound.
	Memory *budget.Budget
	// Log receives internal errors. Default: discarded.
	Log *slog.Logger
}

type server struct {
	Options
	state   *state.Store
	account string
	kinds   binding.Kinds
	// secretTypes are the types of binding that hold a secret; the first is what
	// a secret is whose type is not said.
	secretTypes []string
	workers     locks // held while a Worker's versions change
	tails       tails
	key         []byte // signs the tokens of asset uploads
}

// New returns the handler of the REST API. Paths may begin with /client/v4 or
// not. It answers every request with JSON and never redirects.
func New(ctx context.Context, o Options) (http.Handler, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Scheme == "" {
		o.Scheme = "http"
	}
	if o.Keys == nil {
		o.Keys = auth.NewKeys(o.State, o.Log)
	}
	s := &server{Options: o, state: o.State, account: o.State.Account(), kinds: binding.ByType(o.Kinds)}
	var err error
	if s.key, err = signingKey(ctx, o.State); err != nil {
		return nil, err
	}
	for _, k := range o.Kinds {
		if _, ok := k.(binding.Secretive); ok {
			s.secretTypes = append(s.secretTypes, k.Type())
		}
	}
	if len(s.secretTypes) == 0 {
		return nil, errors.New("start REST API: none of Options.Kinds holds a secret")
	}
	mux := http.NewServeMux()
	for i, list := range append([][]api.Route{s.routes()}, o.Routes...) {
		for _, route := range list {
			mux.Handle(route.Method+" "+route.Path, s.guard(route, i > 0))
		}
	}
	mux.HandleFunc("/", s.noRoute)
	return tidy(mux), nil
}

// tidy removes the prefix, double slashes and a trailing slash, which a
// ServeMux would answer with a redirect that turns a POST into a GET. It works
// on the escaped path, so that an escaped slash in a KV key stays one.
func tidy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		segments := strings.FieldsFunc(r.URL.EscapedPath(), func(c rune) bool { return c == '/' })
		if len(segments) >= 2 && segments[0] == "client" && segments[1] == "v4" {
			segments = segments[2:]
		}
		for _, segment := range segments {
			if segment == "." || segment == ".." {
				api.WriteError(w, api.Errorf(http.StatusBadRequest, 7003, "Could not route to %s: a path must not have the segment %q", r.URL.Path, segment))
				return
			}
		}
		u := *r.URL
		parsed, err := u.Parse("/" + strings.Join(segments, "/"))
		if err != nil {
			api.WriteError(w, api.Errorf(http.StatusBadRequest, 7003, "Could not route to %s: %v", r.URL.Path, err))
			return
		}
		u.Path, u.RawPath = parsed.Path, parsed.RawPath
		r2 := *r
		r2.URL = &u
		next.ServeHTTP(w, &r2)
	})
}

// notFound is Cloudflare's answer for a Worker that does not exist. Clients
// take code 10007 as "this deploy is the first one".
func notFound(worker string) error {
	return api.Errorf(http.StatusNotFound, 10007, "workers.api.error.script_not_found: the Worker %q does not exist on this account", worker)
}

// orNotFound replaces ErrNotFound.
func orNotFound(err, replacement error) error {
	if errors.Is(err, state.ErrNotFound) {
		return replacement
	}
	return err
}

func badRequest(code int, format string, args ...any) error {
	return api.Errorf(http.StatusBadRequest, code, format, args...)
}

// refused is a version that cannot be accepted.
func refused(format string, args ...any) error { return badRequest(10021, format, args...) }

// worker returns the Worker that the path names.
func (s *server) worker(tx *state.Tx, r *http.Request) (state.Worker, error) {
	name := r.PathValue("script")
	w, err := tx.Worker(name)
	return w, orNotFound(err, notFound(name))
}

// view and update run f on the state on behalf of a request.
func (s *server) view(r *http.Request, f func(*state.Tx) error) error {
	return s.state.View(r.Context(), f)
}

// update is not cancelled by a client that goes away: what was asked for
// happens whole.
func (s *server) update(r *http.Request, f func(*state.Tx) error) error {
	return s.state.Update(context.WithoutCancel(r.Context()), f)
}

// stamp is a time as the API writes it; clients sort them as strings.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// host is the hostname under which a Worker answers.
func (s *server) host(worker string) string {
	return fmt.Sprintf("%s.%s", worker, s.state.WorkersDomain())
}

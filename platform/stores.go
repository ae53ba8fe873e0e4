package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/binding/kv"
	"github.com/selvage-edge/selvage/binding/ratelimit"
	"github.com/selvage-edge/selvage/control"
	"github.com/selvage-edge/selvage/control/auth"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Stores are what a data directory holds: the bindings' stores and the control
// plane's state. Holding them open means holding the directory's lock.
type Stores struct {
	// Dir is the data directory.
	Dir string
	// Account is the id of the account that owns everything in it: 32
	// hexadecimal characters, made when the directory is first opened.
	Account string
	KV      *kv.Store
	D1      *d1.Store
	// Limits are the rate limiting counters: in memory only.
	Limits *ratelimit.Store
	// State is what the control plane knows, and Auth its API tokens.
	State *state.Store
	Auth  *auth.Auth

	lock  *Lock
	keyed *keyed.DB
	// values are KV's large values, code the modules and static files.
	values, code *blob.Store
	log          *slog.Logger
}

// StoreOptions say which data directory is opened, and how.
type StoreOptions struct {
	// Dir is the data directory; it is created if it is missing. Required.
	Dir string
	// WorkersDomain is the suffix under which Workers answer. Default "localhost".
	WorkersDomain string
	// Now is the clock of KV, D1 and rate limits. Default time.Now.
	Now func() time.Time
	// Logger of the stores' own events. Default slog.Default().
	Logger *slog.Logger
}

// OpenStores takes the data directory and opens its stores. While another
// process has it, the error is ErrInUse and holder says who.
func OpenStores(ctx context.Context, o StoreOptions) (stores *Stores, holder Holder, err error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	lock, holder, err := Acquire(o.Dir)
	if err != nil {
		return nil, holder, err
	}
	s := &Stores{Dir: o.Dir, lock: lock, log: o.Logger}
	if err := s.open(ctx, o); err != nil {
		return nil, Holder{}, errors.Join(fmt.Errorf("open data directory %s: %w", o.Dir, err), s.Close())
	}
	return s, Holder{}, nil
}

func (s *Stores) open(ctx context.Context, o StoreOptions) (err error) {
	if err := checkFormat(s.Dir); err != nil {
		return err
	}
	if s.code, err = blob.Open(filepath.Join(s.Dir, "blob", "control")); err != nil {
		return err
	}
	s.State, err = state.Open(ctx, state.Options{Dir: s.Dir, Blobs: s.code, WorkersDomain: o.WorkersDomain, Log: s.log})
	if err != nil {
		return err
	}
	s.Account, s.Auth = s.State.Account(), auth.New(s.State, s.log)
	if s.keyed, err = keyed.Open(filepath.Join(s.Dir, "keyed"), keyed.Options{Logger: s.log}); err != nil {
		return err
	}
	if s.values, err = blob.Open(filepath.Join(s.Dir, "blob", "kv")); err != nil {
		return err
	}
	if s.KV, err = kv.Open(s.keyed, s.values, kv.Options{Now: o.Now, Logger: s.log}); err != nil {
		return err
	}
	s.Limits = ratelimit.New(o.Now)
	s.D1, err = d1.Open(filepath.Join(s.Dir, "d1"), d1.Options{Now: o.Now})
	return err
}

// Close closes what is open, in the reverse order, and gives the directory up.
func (s *Stores) Close() error {
	var errs []error
	if s.D1 != nil {
		errs = append(errs, s.D1.Close())
	}
	if s.KV != nil {
		errs = append(errs, s.KV.Close())
	}
	if s.keyed != nil {
		errs = append(errs, s.keyed.Close())
	}
	if s.State != nil {
		errs = append(errs, s.State.Close())
	}
	return errors.Join(append(errs, s.lock.Release())...)
}

// API is the REST API of the control plane and of the stores. o says what else
// it works with; its State, Auth, Routes and Log are set here.
func (s *Stores) API(ctx context.Context, o control.Options) (http.Handler, error) {
	o.State, o.Auth, o.Log = s.State, s.Auth, s.log
	o.Routes = [][]api.Route{s.KV.Routes(), s.D1.Routes()}
	return control.New(ctx, o)
}

package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control"
	"github.com/selvage-edge/selvage/control/auth"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/cron"
	"github.com/selvage-edge/selvage/mail"
	"github.com/selvage-edge/selvage/project/manifest"
	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/budget"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// Stores are what a data directory holds: the kinds of binding with their
// stores, and the control plane's state. Holding them open means holding the
// directory's lock.
type Stores struct {
	// Dir is the data directory.
	Dir string
	// Account is the id of the account that owns everything in it: 32
	// hexadecimal characters, made when the directory is first opened.
	Account string
	// Kinds are the kinds of binding, open.
	Kinds []binding.Kind
	// State is what the control plane knows, and Auth its API tokens.
	State *state.Store
	Auth  *auth.Auth
	// Keys are the access keys of R2's S3 API.
	Keys *auth.Keys
	// Crons has what became of cron triggers.
	Crons *cron.History
	// Resources list what the projects that run here name, for the command
	// line; nil where Workers are deployed.
	Resources func() []manifest.Resource

	lock  *Lock
	keyed *keyed.DB
	// code has the modules and static files; blobs are all blob stores, by name.
	code   *blob.Store
	blobs  map[string]*blob.Store
	opened []io.Closer // among the kinds
	hosts  hosts       // among the kinds, and beside them
	// contents are what the directory had before it was opened.
	contents contents
	// memory is lent to calls of bindings, uploads to requests of the REST API.
	memory, uploads *budget.Budget
	log             *slog.Logger
}

// StoreOptions say which data directory is opened, and how.
type StoreOptions struct {
	// Dir is the data directory; it is created if it is missing. Required.
	Dir string
	// WorkersDomain is the suffix under which Workers answer. Default "localhost".
	WorkersDomain string
	// Port follows hosts in URLs: ":8443". Default none.
	Port string
	// Memory bounds what calls of bindings take, in bytes, and UploadMemory what
	// the REST API does. Defaults: DefaultMemory, DefaultUploadMemory.
	Memory, UploadMemory int64
	// Quotas bound what is stored, in bytes, by the names of the keys in the table
	// [quotas] of the settings. What is not there has its product's default.
	Quotas map[string]int64
	// Dev is as in Options.
	Dev bool
	// Upstreams are the servers that keep resources instead of this node, by the
	// name of the product's quota: "r2".
	Upstreams map[string][]config.Upstream
	// Now is the clock of the kinds. Default time.Now.
	Now func() time.Time
	// Mail takes the e-mail of Workers. Nil: sending fails.
	Mail mail.Sender
	// Logger of the stores' own events. Default slog.Default().
	Logger *slog.Logger
}

// OpenStores takes the data directory and opens its stores. While another
// process has it, the error is ErrInUse and holder says who.
func OpenStores(ctx context.Context, o StoreOptions) (stores *Stores, holder Holder, err error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.UploadMemory == 0 {
		o.UploadMemory = DefaultUploadMemory
	}
	lock, holder, err := Acquire(o.Dir)
	if errors.Is(err, syscall.ENOSPC) {
		if full := keyed.RoomToStart(o.Dir); full != nil { // says how much to free
			err = fmt.Errorf("open data directory %s: %w", o.Dir, full)
		}
	}
	if err != nil {
		return nil, holder, err
	}
	kinds := Kinds()
	s := &Stores{Dir: o.Dir, Kinds: kinds, hosts: hostsOf(kinds), lock: lock, blobs: map[string]*blob.Store{}, memory: NewMemory(o.Memory), uploads: newUploadMemory(o.UploadMemory), log: o.Logger}
	if err := s.open(ctx, o); err != nil {
		return nil, Holder{}, errors.Join(fmt.Errorf("open data directory %s: %w", o.Dir, err), s.Close())
	}
	return s, Holder{}, nil
}

func (s *Stores) open(ctx context.Context, o StoreOptions) (err error) {
	// Before anything is written: what follows would fail somewhere in the middle.
	if err := keyed.RoomToStart(s.Dir); err != nil {
		return err
	}
	if err := checkFormat(s.Dir); err != nil {
		return err
	}
	if s.contents, err = readContents(s.Dir); err != nil {
		return err
	}
	if s.code, err = s.openBlobs("control"); err != nil {
		return err
	}
	s.State, err = state.Open(ctx, state.Options{
		Dir: s.Dir, Blobs: s.code, Secrets: secretFields(s.Kinds), WorkersDomain: o.WorkersDomain, Log: s.log,
		MustExist: s.contents.had(stateFile), Quota: o.Quotas["code"], WorkerQuota: o.Quotas["worker_code"],
	})
	if err != nil {
		return err
	}
	s.Account = s.State.Account()
	if s.keyed, err = keyed.Open(filepath.Join(s.Dir, keyedFolder), keyed.Options{Logger: s.log, MustExist: s.contents.had(keyedFolder)}); err != nil {
		return err
	}
	s.Crons = cron.NewHistory(s.keyed)
	home := binding.Home{
		Dir: s.Dir, Keyed: s.keyed, Blobs: s.openBlobs, Memory: s.memory, Quota: func(name string) int64 { return o.Quotas[name] },
		Upstreams: o.Upstreams, Account: s.Account, WorkersDomain: s.State.WorkersDomain(), Port: o.Port, Dev: o.Dev, Now: o.Now, Log: s.log, Mail: o.Mail,
		TakeHost: func(ctx context.Context, host, zone string, take func(binding.Zone) error) error {
			return control.TakeHost(ctx, s.State, s.hosts.name, host, zone, take)
		},
	}
	for _, k := range s.Kinds {
		if inbox, ok := k.(binding.Inbox); ok {
			home.Inbox = inbox
		}
	}
	for _, k := range s.Kinds {
		opener, ok := k.(binding.Opener)
		if !ok {
			continue
		}
		if err := opener.Open(home); err != nil {
			return err
		}
		if c, ok := k.(io.Closer); ok {
			s.opened = append(s.opened, c)
		}
	}
	s.Auth, s.Keys = auth.New(s.State, s.log, s.scopes()...), auth.NewKeys(s.State, s.log)
	return s.recordContents()
}

// routes are the kinds' part of the REST API.
func (s *Stores) routes() (routes [][]api.Route) {
	for _, k := range s.Kinds {
		if r, ok := k.(binding.Router); ok {
			routes = append(routes, r.Routes())
		}
	}
	return routes
}

// scopes are what API tokens can be about because of the kinds.
func (s *Stores) scopes() (scopes []string) {
	for _, list := range s.routes() {
		for _, route := range list {
			scopes = append(scopes, route.Scope)
		}
	}
	return scopes
}

// openBlobs opens a blob store. A name is given to one owner only.
func (s *Stores) openBlobs(name string) (*blob.Store, error) {
	if s.blobs[name] != nil {
		return nil, fmt.Errorf("the blob store %q has an owner already", name)
	}
	b, err := blob.Open(filepath.Join(s.Dir, blobFolder, name))
	if err != nil {
		return nil, err
	}
	s.blobs[name] = b
	return b, nil
}

// secretFields names the fields that are secret, by type of binding.
func secretFields(kinds []binding.Kind) map[string][]string {
	fields := map[string][]string{}
	for _, k := range kinds {
		if secret, ok := k.(binding.Secretive); ok {
			fields[k.Type()] = secret.SecretFields()
		}
	}
	return fields
}

// Close closes what is open, in the reverse order, and gives the directory up.
func (s *Stores) Close() error {
	var errs []error
	for _, c := range slices.Backward(s.opened) {
		errs = append(errs, c.Close())
	}
	if s.keyed != nil {
		errs = append(errs, s.keyed.Close())
	}
	if s.State != nil {
		errs = append(errs, s.State.Close())
	}
	return errors.Join(append(errs, s.lock.Release())...)
}

// API is the REST API of the control plane and of the kinds. o says what else it
// works with; its State, Auth, Keys, Kinds, Routes, Memory, Log, Crons and
// HostOwner are set here.
func (s *Stores) API(ctx context.Context, o control.Options) (http.Handler, error) {
	o.State, o.Auth, o.Keys, o.Kinds, o.Routes, o.Memory, o.Log, o.Crons, o.HostOwner = s.State, s.Auth, s.Keys, s.Kinds, s.routes(), s.uploads, s.log, s.Crons, s.hosts.name
	return control.New(ctx, o)
}

package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/storage/blob"
)

// draft is a version on its way: uploaded, then checked, then stored. The lock
// of its Worker is held until end is called, so that what it inherits stays
// the newest.
type draft struct {
	s *server
	r *http.Request
	// worker is the Worker as it will be stored; before is its newest version,
	// nil for the first one.
	worker state.Worker
	before *state.Version
	state.Version
	// session has the static files that came with the upload.
	session  *state.AssetSession
	warnings []string
	pins     []*blob.Pin
	// taken are the classes that the migrations take over from other Workers.
	taken  []taken
	unlock func()
}

// begin starts a draft of the Worker called name, which need not exist. It may
// change what the Workers called others have.
func (s *server) begin(r *http.Request, name string, others ...string) (*draft, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	d := &draft{s: s, r: r, unlock: s.workers.lockAll(append(others, name))}
	err := s.view(r, func(tx *state.Tx) error {
		w, err := tx.Worker(name)
		if errors.Is(err, state.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		d.worker = w
		before, err := tx.LatestVersion(name)
		if err == nil {
			d.before = &before
		}
		return orNotFound(err, nil)
	})
	if err != nil {
		d.end()
		return nil, err
	}
	d.worker.Name = name
	d.Version = state.Version{
		Worker: name, Source: source(r), Author: s.email(r),
		Classes: d.worker.Classes, MigrationTag: d.worker.MigrationTag,
	}
	return d, nil
}

// exists reports whether the Worker is there already.
func (d *draft) exists() bool { return d.worker.ID != "" }

// end releases what the draft holds, whether or not it was stored.
func (d *draft) end() {
	for _, p := range d.pins {
		p.Release()
	}
	d.unlock()
}

// source says which kind of client sent a request. wrangler asks before it
// overwrites what came from elsewhere.
func source(r *http.Request) string {
	if strings.HasPrefix(r.UserAgent(), "wrangler/") {
		return "wrangler"
	}
	return "api"
}

// fill takes everything from an upload.
func (d *draft) fill(u *upload, strict bool) error {
	d.warnings = u.warnings
	var before state.Bindings
	if d.before != nil {
		before = d.before.Bindings
	}
	err := d.s.checkUploaded(u.bindings...)
	if err != nil {
		return err
	}
	if d.Bindings, err = d.s.mergeBindings(u.bindings, before, u.KeepBindings, strict); err != nil {
		return err
	}
	d.Annotations = u.Annotations
	d.MainModule, d.ServiceWorker = u.MainModule, u.BodyPart != ""
	if d.ServiceWorker {
		d.MainModule = u.BodyPart
	}
	d.CompatibilityDate, d.CompatibilityFlags = u.CompatibilityDate, u.CompatibilityFlags
	d.Placement = u.Placement
	if u.Limits != nil {
		d.Limits = state.Limits(*u.Limits)
	}
	if u.Migrations != nil {
		if err := d.migrate(u.Migrations); err != nil {
			return err
		}
	}
	if err := d.checkClasses(); err != nil {
		return err
	}
	if err := d.storeModules(u.modules); err != nil {
		return err
	}
	return d.takeAssets(u)
}

// copyBefore makes the draft a copy of the version before it.
func (d *draft) copyBefore() {
	b := d.before
	d.MainModule, d.ServiceWorker, d.Modules, d.ETag = b.MainModule, b.ServiceWorker, b.Modules, b.ETag
	d.CompatibilityDate, d.CompatibilityFlags = b.CompatibilityDate, b.CompatibilityFlags
	d.Bindings, d.Assets, d.Limits, d.Placement = b.Bindings, b.Assets, b.Limits, b.Placement
}

// storeModules puts the modules into the blob store.
func (d *draft) storeModules(modules []config.Module) error {
	h := sha256.New()
	for _, m := range modules {
		pin, err := d.s.state.PutBlob(bytes.NewReader(m.Data))
		if err != nil {
			return fmt.Errorf("store module %s: %w", m.Name, err)
		}
		d.pins = append(d.pins, pin)
		d.Modules = append(d.Modules, state.Module{Name: m.Name, Type: m.Type, Digest: pin.Digest.String(), Size: pin.Size})
		fmt.Fprintf(h, "%q %q %s\n", m.Name, m.Type, pin.Digest)
	}
	d.ETag = hex.EncodeToString(h.Sum(nil))
	return nil
}

// takeAssets finds the static files: those of a completed upload session, or
// those of the version before.
func (d *draft) takeAssets(u *upload) error {
	var had *state.AssetsUse
	if d.before != nil {
		had = d.before.Assets
	}
	switch {
	case u.Assets != nil && u.Assets.JWT != "":
		session, err := d.s.completed(d.r, u.Assets.JWT)
		if err != nil {
			return err
		}
		d.session = &session
		d.Assets = &state.AssetsUse{Manifest: state.NewID(), Config: u.Assets.Config}
	case u.KeepAssets || u.Assets != nil:
		if had == nil {
			if u.Assets != nil {
				return refused("metadata.assets has no jwt, and the previous version has no static assets to keep")
			}
			return nil
		}
		keep := *had
		if u.Assets != nil && len(u.Assets.Config) > 0 {
			keep.Config = u.Assets.Config
		}
		d.Assets = &keep
	}
	return nil
}

// check proves that the version is one that can run.
func (d *draft) check() error {
	if d.MainModule == "" && d.Assets == nil {
		return refused("an upload needs a main_module or static assets")
	}
	var v *config.Version
	err := d.s.view(d.r, func(tx *state.Tx) (err error) {
		trial := d.Version
		trial.Assets = nil
		if v, err = tx.Config(trial); err != nil {
			return err
		}
		if d.Assets == nil {
			return nil
		}
		v.Assets, err = state.AssetsConfig(d.Assets.Config, noFiles{})
		if err != nil {
			return refused("%v", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	v.ID, v.Created = "00000000-0000-0000-0000-000000000000", d.s.state.Now()
	for _, b := range v.Bindings {
		if err := d.s.kinds.Deployable(v.Worker, b); err != nil {
			return refused("%v", err)
		}
	}
	if d.s.Check == nil || d.MainModule == "" {
		return nil
	}
	report, err := d.s.Check(d.r.Context(), v)
	if err != nil {
		var e *api.Error
		if errors.As(err, &e) {
			return err
		}
		if brokenCode(err) {
			d.s.Log.Error("version not accepted: its code cannot be read", "worker", v.Worker, "err", err)
			return api.Errorf(http.StatusInternalServerError, 10013, "the server has lost code of this Worker, which is no fault of the script: %v", err)
		}
		return refused("%v", err)
	}
	d.Startup, d.Handlers = report.StartupTime, report.Handlers
	d.warnings = append(d.warnings, report.Warnings...)
	for _, warning := range d.warnings { // which clients do not show
		d.s.Log.Warn(warning, "worker", v.Worker)
	}
	return nil
}

// brokenCode reports whether a version cannot be read from our own disk.
func brokenCode(err error) bool {
	return errors.Is(err, blob.ErrDamaged) || errors.Is(err, blob.ErrNotFound)
}

// store stores the version, and with it whatever f changes.
func (d *draft) store(f func(*state.Tx) error) error {
	return d.s.update(d.r, func(tx *state.Tx) error {
		if err := tx.PutWorker(&d.worker); err != nil {
			return err
		}
		if err := d.storeMoves(tx); err != nil {
			return err
		}
		if d.session != nil {
			if err := tx.AddManifest(d.Assets.Manifest, d.worker.Name, *d.session); err != nil {
				return err
			}
		}
		if err := tx.AddVersion(&d.Version); err != nil {
			return err
		}
		if f == nil {
			return nil
		}
		return f(tx)
	})
}

// storeDeployed starts the version, stores it and gives it all traffic, or does
// nothing of that.
func (d *draft) storeDeployed(annotations map[string]string) error {
	var v *config.Version
	err := d.s.view(d.r, func(tx *state.Tx) (err error) {
		// Its cell is told what it will be called.
		if err := tx.NameVersion(&d.Version); err != nil {
			return err
		}
		v, err = tx.Config(d.Version)
		return err
	})
	if err != nil {
		return err
	}
	return d.s.deploy(d.r, d.worker.Name, []config.Share{{Version: v, Percentage: 100}}, func() error {
		return d.store(func(tx *state.Tx) error {
			return tx.Deploy(&state.Deployment{
				Worker: d.worker.Name, Source: d.Source, Author: d.Author, Annotations: annotations,
				Shares: []state.DeploymentShare{{Version: d.ID, Percentage: 100}},
			})
		})
	})
}

// annotate adds the annotation that says what made a version, unless the
// client said so.
func annotate(given map[string]string, triggeredBy string) map[string]string {
	all := map[string]string{"workers/triggered_by": triggeredBy}
	for k, v := range given {
		all[k] = v
	}
	return all
}

// noFiles stands for static files that are not stored yet.
type noFiles struct{}

func (noFiles) Lookup(string) (config.AssetFile, bool) { return config.AssetFile{}, false }
func (noFiles) Open(f config.AssetFile) (io.ReadSeekCloser, error) {
	return nil, fmt.Errorf("asset %s: %w", f.Path, state.ErrNotFound)
}

// checkName refuses what cannot be a Worker's name, which is also a label of
// its hostname.
func checkName(name string) error {
	if len(name) == 0 || len(name) > 63 {
		return badRequest(10016, "invalid Worker name %q: it must have 1 to 63 characters", name)
	}
	for _, c := range name {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return badRequest(10016, "invalid Worker name %q: it must be made of lowercase letters, digits, dashes and underscores", name)
		}
	}
	return nil
}

// raw is JSON or, if there is none, what stands for it.
func raw(v json.RawMessage, none any) any {
	if len(v) == 0 {
		return none
	}
	return v
}

package state

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/selvage-edge/selvage/config"
)

// Version is the record of one upload. It never changes once it is added.
type Version struct {
	// ID is a UUID and Number counts from 1; see NameVersion.
	ID      string    `json:"id"`
	Worker  string    `json:"worker"`
	Number  int       `json:"number"`
	Created time.Time `json:"created"`
	// Source is wrangler or api, Author an email address.
	Source string `json:"source"`
	Author string `json:"author"`
	// Annotations are workers/message, workers/tag, workers/triggered_by ….
	Annotations map[string]string `json:"annotations,omitempty"`

	// MainModule is empty for an assets-only Worker.
	MainModule         string     `json:"main_module,omitempty"`
	ServiceWorker      bool       `json:"service_worker,omitempty"`
	Modules            []Module   `json:"modules,omitempty"`
	CompatibilityDate  string     `json:"compatibility_date,omitempty"`
	CompatibilityFlags []string   `json:"compatibility_flags,omitempty"`
	Bindings           Bindings   `json:"bindings,omitempty"`
	Assets             *AssetsUse `json:"assets,omitempty"`
	// Classes are the Durable Object classes after the migrations that came
	// with this version or before it.
	Classes      []Class `json:"classes,omitempty"`
	MigrationTag string  `json:"migration_tag,omitempty"`
	Limits       Limits  `json:"limits,omitzero"`
	// Placement is stored and given back; there is one place here.
	Placement json.RawMessage `json:"placement,omitempty"`

	// ETag is the digest of the code, Handlers and Startup what the check of
	// the upload found.
	ETag     string        `json:"etag"`
	Handlers []string      `json:"handlers,omitempty"`
	Startup  time.Duration `json:"startup,omitempty"`
}

// Module names one file of a version in the blob store.
type Module struct {
	Name   string            `json:"name"`
	Type   config.ModuleType `json:"type"`
	Digest string            `json:"digest"`
	Size   int64             `json:"size"`
}

// Limits are config.Limits as they are stored; zero means the default.
type Limits struct {
	// CPUMS is processor time in milliseconds.
	CPUMS       int `json:"cpu_ms,omitempty"`
	Subrequests int `json:"subrequests,omitempty"`
	Cells       int `json:"cells,omitempty"`
}

// AssetsUse is the static files of a version and how they are served.
type AssetsUse struct {
	// Manifest is the id of the files.
	Manifest string `json:"manifest"`
	// Config is metadata.assets.config as it was uploaded.
	Config json.RawMessage `json:"config,omitempty"`
}

// Bindings are kept as the array of objects that was uploaded, with a
// reference in the place of each secret.
type Bindings []config.Binding

// MarshalJSON writes the raw objects.
func (b Bindings) MarshalJSON() ([]byte, error) {
	raw := make([]json.RawMessage, len(b))
	for i := range b {
		raw[i] = b[i].Raw
	}
	return json.Marshal(raw)
}

// UnmarshalJSON reads objects that have a name and a type.
func (b *Bindings) UnmarshalJSON(data []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	list := make(Bindings, len(raw))
	for i, r := range raw {
		var head struct{ Name, Type string }
		if err := json.Unmarshal(r, &head); err != nil {
			return fmt.Errorf("binding %d: %w", i+1, err)
		}
		list[i] = config.Binding{Name: head.Name, Type: head.Type, Raw: r}
	}
	*b = list
	return nil
}

// Find returns the binding called name.
func (b Bindings) Find(name string) (config.Binding, bool) {
	for _, x := range b {
		if x.Name == name {
			return x, true
		}
	}
	return config.Binding{}, false
}

// MaxListed is the number of versions that are listed, can be deployed and
// have preview URLs: the newest 100 of a Worker, as on Cloudflare.
const MaxListed = 100

// Version returns one version of a Worker, or ErrNotFound.
func (tx *Tx) Version(worker, id string) (Version, error) {
	return record[Version](tx, "SELECT data FROM versions WHERE worker = ? AND id = ?", worker, id)
}

// Versions returns the newest versions of a Worker first, at most MaxListed.
func (tx *Tx) Versions(worker string) ([]Version, error) {
	return records[Version](tx, "SELECT data FROM versions WHERE worker = ? ORDER BY number DESC LIMIT ?", worker, MaxListed)
}

// LatestVersion returns the newest version, deployed or not, or ErrNotFound.
func (tx *Tx) LatestVersion(worker string) (Version, error) {
	return record[Version](tx, "SELECT data FROM versions WHERE worker = ? ORDER BY number DESC LIMIT 1", worker)
}

// NameVersion sets ID, Number and Created of a version that will be the newest
// of its Worker, so that it can be started before AddVersion stores it. Nothing
// else may store a version of the Worker in between.
func (tx *Tx) NameVersion(v *Version) error {
	if err := tx.one("SELECT coalesce(max(number), 0) + 1 FROM versions WHERE worker = ?", []any{v.Worker}, &v.Number); err != nil {
		return err
	}
	v.ID, v.Created = newUUID(), tx.Now()
	return nil
}

// AddVersion stores v as the newest version of its Worker, which must exist. It
// names it, unless NameVersion has, and seals the secrets among the bindings.
// The error is ErrWorkerQuota if its modules and static files do not fit; one
// that brings none of its own always does.
func (tx *Tx) AddVersion(v *Version) error {
	if err := tx.touch(v.Worker); err != nil {
		return err
	}
	if v.ID == "" {
		if err := tx.NameVersion(v); err != nil {
			return err
		}
	}
	sealed := make(Bindings, len(v.Bindings))
	for i, b := range v.Bindings {
		var err error
		if sealed[i], err = tx.seal(v.Worker, b); err != nil {
			return err
		}
	}
	v.Bindings = sealed
	if err := tx.exec("INSERT INTO versions (id, worker, number, data) VALUES (?, ?, ?, ?)", v.ID, v.Worker, v.Number, encode(v)); err != nil {
		return err
	}
	for _, m := range v.Modules {
		if err := tx.exec("INSERT OR IGNORE INTO modules (version, digest) VALUES (?, ?)", v.ID, m.Digest); err != nil {
			return err
		}
	}
	return tx.checkCode(v)
}

func newUUID() string { return uuid.NewString() }
